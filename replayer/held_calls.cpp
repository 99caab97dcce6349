#include "replayer/held_calls.h"

#include <sys/syscall.h>

#include "trace_format/logged_calls.h"

namespace heddle {
namespace {

// Calls whose whole effect on a replay is their result and the bytes that they wrote.
bool answerable(const Event& event) {
  const auto* call = std::get_if<event::Syscall>(&event.body);
  if (!call) return false;
  switch (call->number) {
    case SYS_clock_gettime:
    case SYS_gettimeofday:
    case SYS_time:
    case SYS_futex:
      return log_entry(event).has_value();
    default:
      return false;
  }
}

}  // namespace

bool HeldCalls::hold(const Event& event) {
  if (!answerable(event) || events_.size() >= Guest::kAnswers) return false;
  if (!events_.empty() && event.place.task != task()) return false;
  events_.push_back(event);
  return true;
}

void HeldCalls::give(Guest& guest) const {
  std::vector<heddle_log_entry> entries;
  entries.reserve(events_.size());
  for (const auto& event : events_) entries.push_back(*log_entry(event));
  guest.give_answers(entries);
}

const Event* HeldCalls::unanswered(const Guest& guest) const {
  const uint64_t answered = events_.empty() ? 0 : guest.answered();
  return answered < events_.size() ? &events_[answered] : nullptr;
}

Event HeldCalls::take_last() {
  Event event = std::move(events_.back());
  events_.pop_back();
  return event;
}

}  // namespace heddle
