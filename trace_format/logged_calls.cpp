#include "trace_format/logged_calls.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>

#include "trace_format/wire.h"

namespace heddle {

static_assert(sizeof(heddle_log_entry) == 96 && offsetof(heddle_log_entry, check) == 0);
static_assert(sizeof(heddle_log_effect) == 16);
static_assert(sizeof(heddle_log) == 128 && offsetof(heddle_log, used) == HEDDLE_LOG_USED);

std::optional<uint32_t> entry_size(std::span<const uint8_t> bytes) {
  heddle_log_entry entry;
  if (bytes.size() < sizeof entry) return std::nullopt;
  std::memcpy(&entry, bytes.data(), sizeof entry);
  if (entry.size % 8 != 0 || entry.size > bytes.size()) return std::nullopt;
  uint64_t at = sizeof entry;
  for (uint32_t i = 0; i < entry.effects; ++i) {
    heddle_log_effect effect;
    if (at + sizeof effect > entry.size) return std::nullopt;
    std::memcpy(&effect, bytes.data() + at, sizeof effect);
    at += heddle_effect_size(effect.size);
    const bool bytes_follow =
        effect.kind == HEDDLE_EFFECT_WRITTEN || effect.kind == HEDDLE_EFFECT_TAKEN;
    if (effect.size == 0 ? effect.kind != HEDDLE_EFFECT_GIVEN : !bytes_follow) return std::nullopt;
  }
  if (at != entry.size) return std::nullopt;
  return entry.size;
}

std::optional<uint64_t> entry_count(std::span<const uint8_t> bytes) {
  uint64_t count = 0;
  while (!bytes.empty()) {
    const auto size = entry_size(bytes);
    if (!size) return std::nullopt;
    bytes = bytes.subspan(*size);
    ++count;
  }
  return count;
}

Event logged_call(std::span<const uint8_t> bytes, uint64_t number, uint64_t time_ns) {
  heddle_log_entry entry;
  std::memcpy(&entry, bytes.data(), sizeof entry);
  Event event;
  event.number = number;
  event.time_ns = time_ns;
  event.place = {entry.task, entry.ticks, entry.pc, 0};
  event::Syscall call;
  call.number = entry.number;
  std::copy(std::begin(entry.arguments), std::end(entry.arguments), call.arguments.begin());
  call.result = entry.result;
  const uint8_t* at = bytes.data() + sizeof entry;
  for (uint32_t i = 0; i < entry.effects; ++i) {
    heddle_log_effect effect;
    std::memcpy(&effect, at, sizeof effect);
    const uint8_t* contents = at + sizeof effect;
    if (effect.kind == HEDDLE_EFFECT_WRITTEN) {
      call.effects.push_back({effect.address, {contents, contents + effect.size}});
    } else if (effect.kind == HEDDLE_EFFECT_GIVEN) {
      call.given = effect.address;
    } else if (effect.kind == HEDDLE_EFFECT_REGISTERS) {
      auto& values = event.registers.emplace().values;
      std::memcpy(values.data(), contents, sizeof values);
    }
    at += heddle_effect_size(effect.size);
  }
  event.body = std::move(call);
  return event;
}

bool append_entry(const Event& event, std::vector<uint8_t>& out) {
  const auto* call = std::get_if<event::Syscall>(&event.body);
  if (!call || event.place.phase != 0) return false;
  if (call->file || call->child != 0 || call->interrupted || !call->texts.empty()) return false;
  heddle_log_entry entry{};
  entry.ticks = event.place.ticks;
  entry.pc = event.place.pc;
  entry.task = event.place.task;
  entry.number = call->number;
  std::copy(call->arguments.begin(), call->arguments.end(), std::begin(entry.arguments));
  entry.result = call->result;
  uint64_t size = sizeof entry;
  if (event.registers) size += heddle_effect_size(sizeof event.registers->values);
  for (const auto& effect : call->effects) {
    if (effect.bytes.empty() || effect.bytes.size() > UINT32_MAX) return false;
    size += heddle_effect_size(static_cast<uint32_t>(effect.bytes.size()));
  }
  if (call->given) size += heddle_effect_size(0);
  if (size > UINT32_MAX) return false;
  entry.size = static_cast<uint32_t>(size);
  entry.effects = static_cast<uint32_t>(call->effects.size()) + (event.registers ? 1 : 0) +
                  (call->given ? 1 : 0);
  size_t at = out.size();
  out.resize(at + size);
  std::memcpy(out.data() + at, &entry, sizeof entry);
  at += sizeof entry;
  if (event.registers) {
    const auto& values = event.registers->values;
    const heddle_log_effect header{0, sizeof values, HEDDLE_EFFECT_REGISTERS};
    std::memcpy(out.data() + at, &header, sizeof header);
    std::memcpy(out.data() + at + sizeof header, values.data(), sizeof values);
    at += heddle_effect_size(sizeof values);
  }
  if (call->given) {
    const heddle_log_effect header{*call->given, 0, HEDDLE_EFFECT_GIVEN};
    std::memcpy(out.data() + at, &header, sizeof header);
    at += heddle_effect_size(0);
  }
  for (const auto& effect : call->effects) {
    const heddle_log_effect header{effect.address, static_cast<uint32_t>(effect.bytes.size()),
                                   HEDDLE_EFFECT_WRITTEN};
    std::memcpy(out.data() + at, &header, sizeof header);
    std::memcpy(out.data() + at + sizeof header, effect.bytes.data(), effect.bytes.size());
    at += heddle_effect_size(header.size);
  }
  return true;
}

namespace {

// One of the logs of a file, which begins at `start`.
void read_one_log(std::span<const uint8_t> bytes, uint64_t start, const std::string& file,
                  uint64_t next, std::vector<Event>& out) {
  const auto damaged = [&](uint64_t offset, const char* what) {
    return TraceError(file + " at offset " + std::to_string(start + offset) + ": " + what);
  };
  bytes = bytes.subspan(start);
  heddle_log log{};
  if (bytes.size() < sizeof log) throw damaged(0, "shorter than its header");
  std::memcpy(&log, bytes.data(), sizeof log);
  const auto used = static_cast<uint32_t>(log.used);
  if (log.magic != HEDDLE_LOG_MAGIC || log.mode != HEDDLE_LOG_RECORD)
    throw damaged(0, "not a log of system calls");
  if (log.used != heddle_log_count(used))
    throw damaged(HEDDLE_LOG_USED, "the size of its entries is damaged");
  if (used > bytes.size() - sizeof log) throw damaged(bytes.size(), "shorter than its header says");
  const auto entries = bytes.subspan(sizeof log, used);
  uint64_t number = log.first_event;
  for (uint32_t at = 0; at < used; ++number) {
    const auto size = entry_size(entries.subspan(at));
    if (!size) throw damaged(sizeof log + at, "an entry that is not whole");
    // Aligned, as the check reads it.
    std::vector<uint64_t> words(*size / 8);
    std::memcpy(words.data(), entries.data() + at, *size);
    const auto* entry = reinterpret_cast<const heddle_log_entry*>(words.data());
    if (entry->check != heddle_log_check(entry, log.first_event, at))
      throw damaged(sizeof log + at, "the checksum does not match: the entry is damaged");
    if (number >= next) out.push_back(logged_call(entries.subspan(at, *size), number, 0));
    at += *size;
  }
}

}  // namespace

std::vector<Event> read_syscall_log(const std::filesystem::path& file, uint64_t next) {
  std::vector<Event> events;
  std::ifstream in(file, std::ios::binary);
  if (!in) return events;
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), {});
  // Killed while it was being made: still without a byte that is not zero.
  if (next == 0 && std::ranges::all_of(bytes, [](char byte) { return byte == 0; })) return events;
  const std::span all(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  read_one_log(all, 0, file, next, events);
  if (all.size() > HEDDLE_LOG_SIZE) read_one_log(all, HEDDLE_LOG_SIZE, file, next, events);
  return events;
}

}  // namespace heddle
