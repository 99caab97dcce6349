#include "replayer/held_calls.h"

#include <linux/fs.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "machine/syscalls/table.h"
#include "trace_format/logged_calls.h"

namespace heddle {
namespace {

// Calls that the runtime repeats in a replay, where it made them when they were recorded: of those
// that change the address space, what they change is theirs alone then.
bool repeatable(uint64_t number) {
  const auto* known = find(number);
  return known && (known->replay == Replay::performed || SignalState::has_call(number));
}

// Calls whose whole effect on a replay is their result and the bytes that they wrote: not those
// that a signal ended, nor those that changed a file which shows in memory.
bool answerable(uint64_t number, int64_t result, const std::array<uint64_t, 6>& arguments,
                bool effects) {
  const auto* known = find(number);
  if (!known || known->replay != Replay::logged || result == -EINTR) return false;
  switch (number) {
    case SYS_write:
    case SYS_writev:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_pwritev2:
    case SYS_truncate:
    case SYS_ftruncate:
    case SYS_fallocate:
    case SYS_open:
    case SYS_openat:
    case SYS_openat2:
    case SYS_creat:
      return !effects;
    case SYS_sendfile:
    case SYS_splice:
    case SYS_copy_file_range:
      return false;
    case SYS_ioctl:
      return arguments[1] != FICLONE && arguments[1] != FICLONERANGE;
    default:
      return true;
  }
}

}  // namespace

bool HeldCalls::hold(const Event& event, std::optional<int> stream) {
  const auto* call = std::get_if<event::Syscall>(&event.body);
  if (!call || !answerable(call->number, call->result, call->arguments, !call->effects.empty()))
    return false;
  if (!empty() && event.place.task != task()) return false;
  const bool shown = stream && call->result > 0;
  // Of others the bytes' places are only known when the call is made.
  if (shown && (call->number != SYS_write || !call->effects.empty())) return false;
  const size_t at = entries_.size();
  if (!append_entry(event, entries_)) return false;
  if (shown) {
    const heddle_log_effect effect{call->arguments[1], static_cast<uint32_t>(call->result),
                                   HEDDLE_EFFECT_SHOWN};
    const size_t bytes = entries_.size();
    entries_.resize(bytes + heddle_effect_size(effect.size));
    std::memcpy(entries_.data() + bytes, &effect, sizeof effect);
    heddle_log_entry entry;
    std::memcpy(&entry, entries_.data() + at, sizeof entry);
    entry.size = static_cast<uint32_t>(entries_.size() - at);
    ++entry.effects;
    std::memcpy(entries_.data() + at, &entry, sizeof entry);
  }
  if (entries_.size() > Guest::kAnswers) {
    entries_.resize(at);
    return false;
  }
  calls_.push_back({event.number, at, shown ? *stream : 0});
  streams_ += shown;
  last_ = event.place;
  return true;
}

bool HeldCalls::hold(const heddle_log_entry& call, std::span<const uint8_t> entry,
                     uint64_t number) {
  if (!empty() && call.task != task()) return false;
  if (entries_.size() + entry.size() > Guest::kAnswers) return false;
  if (!repeatable(call.number) &&
      !answerable(call.number, call.result, std::to_array(call.arguments), call.effects != 0))
    return false;
  calls_.push_back({number, entries_.size(), 0});
  entries_.insert(entries_.end(), entry.begin(), entry.end());
  last_ = {call.task, call.ticks, call.pc, 0};
  return true;
}

void HeldCalls::give(Guest& guest) const {
  guest.give_answers(entries_);
}

std::optional<Event> HeldCalls::unanswered(const Guest& guest) const {
  if (empty()) return std::nullopt;
  const uint64_t answered = guest.answered();
  for (const auto& call : calls_)
    if (call.entry >= answered)
      return logged_call(std::span(entries_).subspan(call.entry), call.number, 0);
  return std::nullopt;
}

void HeldCalls::show(const Guest& guest,
                     const std::function<void(int stream, std::span<const uint8_t> bytes)>& sink) {
  if (streams_ == 0) return;
  const uint64_t answered = guest.answered();
  for (const auto& call : calls_) {
    if (call.stream == 0 || call.entry >= answered) continue;
    size_t effect_at = call.entry + sizeof(heddle_log_entry);
    heddle_log_effect effect;
    std::memcpy(&effect, entries_.data() + effect_at, sizeof effect);
    while (effect.kind != HEDDLE_EFFECT_SHOWN) {
      effect_at += heddle_effect_size(effect.size);
      std::memcpy(&effect, entries_.data() + effect_at, sizeof effect);
    }
    std::vector<uint8_t> bytes(effect.size);
    guest.answer(effect_at + sizeof effect, bytes);
    sink(call.stream, bytes);
  }
  streams_ = 0;
}

Event HeldCalls::take_last() {
  const Call last = calls_.back();
  const auto entry = std::span(entries_).subspan(last.entry);
  Event event = logged_call(entry, last.number, 0);
  entries_.resize(last.entry);
  streams_ -= last.stream != 0;
  calls_.pop_back();
  if (!calls_.empty()) last_.task = event.place.task;
  return event;
}

void HeldCalls::clear() {
  calls_.clear();
  entries_.clear();
  streams_ = 0;
}

}  // namespace heddle
