#include "trace_format/logged_calls.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>

#include "trace_format/wire.h"

namespace heddle {

static_assert(sizeof(heddle_log_entry) == 128 && offsetof(heddle_log_entry, check) == 120);
static_assert(sizeof(heddle_log) == 128 && offsetof(heddle_log, used) == HEDDLE_LOG_USED);

Event logged_call(const heddle_log_entry& entry, uint64_t number, uint64_t time_ns) {
  Event event;
  event.number = number;
  event.time_ns = time_ns;
  event.place = {entry.task, entry.ticks, entry.pc, 0};
  event::Syscall call;
  call.number = entry.number;
  std::copy(std::begin(entry.arguments), std::end(entry.arguments), call.arguments.begin());
  call.result = entry.result;
  if (entry.effect_size != 0)
    call.effects.push_back(
        {entry.effect_address, {entry.effect, entry.effect + entry.effect_size}});
  event.body = std::move(call);
  return event;
}

std::optional<heddle_log_entry> log_entry(const Event& event) {
  const auto* call = std::get_if<event::Syscall>(&event.body);
  if (!call || event.registers || event.place.phase != 0) return std::nullopt;
  if (call->file || call->child != 0 || call->interrupted || call->effects.size() > 1)
    return std::nullopt;
  heddle_log_entry entry{};
  entry.ticks = event.place.ticks;
  entry.pc = event.place.pc;
  entry.task = event.place.task;
  entry.number = call->number;
  std::copy(call->arguments.begin(), call->arguments.end(), std::begin(entry.arguments));
  entry.result = call->result;
  if (!call->effects.empty()) {
    const auto& effect = call->effects.front();
    if (effect.bytes.empty() || effect.bytes.size() > sizeof entry.effect) return std::nullopt;
    entry.effect_address = effect.address;
    entry.effect_size = static_cast<uint32_t>(effect.bytes.size());
    std::copy(effect.bytes.begin(), effect.bytes.end(), std::begin(entry.effect));
  }
  return entry;
}

std::vector<Event> read_syscall_log(const std::filesystem::path& file, uint64_t next) {
  std::vector<Event> events;
  std::ifstream in(file, std::ios::binary);
  if (!in) return events;
  const auto damaged = [&](uint64_t offset, const char* what) {
    return TraceError(file.string() + " at offset " + std::to_string(offset) + ": " + what);
  };
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), {});
  heddle_log log{};
  if (bytes.size() < sizeof log) throw damaged(0, "shorter than its header");
  std::memcpy(&log, bytes.data(), sizeof log);
  const uint64_t room = (bytes.size() - sizeof log) / sizeof(heddle_log_entry);
  const auto used = static_cast<uint32_t>(log.used);
  if (log.magic != HEDDLE_LOG_MAGIC || log.mode != HEDDLE_LOG_RECORD)
    throw damaged(0, "not a log of system calls");
  if (log.used != heddle_log_count(used))
    throw damaged(HEDDLE_LOG_USED, "the number of its entries is damaged");
  if (used > room) throw damaged(bytes.size(), "shorter than its header says");
  for (uint32_t i = 0; i < used; ++i) {
    const uint64_t offset = sizeof log + uint64_t{i} * sizeof(heddle_log_entry);
    heddle_log_entry entry;
    std::memcpy(&entry, bytes.data() + offset, sizeof entry);
    const uint64_t number = log.first_event + i;
    if (entry.check != heddle_log_check(&entry, number) || entry.effect_size > sizeof entry.effect)
      throw damaged(offset, "the checksum does not match: the entry is damaged");
    if (number < next) continue;
    if (number > next) break;
    events.push_back(logged_call(entry, number, 0));
    ++next;
  }
  return events;
}

}  // namespace heddle
