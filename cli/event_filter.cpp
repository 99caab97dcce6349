#include "cli/event_filter.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "cli/duration.h"
#include "cli/signal_number.h"
#include "machine/syscalls/table.h"

namespace heddle::cli {
namespace {

uint32_t call_number(const std::string& name) {
  for (const auto& family : families())
    for (const auto& call : family.calls)
      if (call.name == name) return call.number;
  throw std::invalid_argument("'" + name + "' is no system call");
}

uint64_t nanoseconds(const std::string& text) {
  return static_cast<uint64_t>(seconds_of(text) * 1e9);
}

// Calls whose result is a new descriptor.
bool gives_descriptor(const std::string& name) {
  static constexpr const char* kNames[] = {
      "open",         "openat",         "openat2",      "creat",       "dup",
      "dup2",         "dup3",           "socket",       "accept",      "accept4",
      "epoll_create", "epoll_create1",  "eventfd",      "eventfd2",    "signalfd",
      "signalfd4",    "timerfd_create", "pidfd_open",   "pidfd_getfd", "memfd_create",
      "inotify_init", "inotify_init1",  "fanotify_init"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

// Those of a call that makes two.
std::vector<int> made(const event::Syscall& call, const Syscall& known) {
  std::vector<int> both(2);
  if (std::string_view(known.name).starts_with("pipe") || known.name == std::string("socketpair"))
    for (const auto& effect : call.effects)
      if (effect.bytes.size() == 8) {
        std::memcpy(both.data(), effect.bytes.data(), 8);
        return both;
      }
  return {};
}

}  // namespace

WantedEvents::WantedEvents(const EventFilter& filter)
    : tasks_(filter.tasks.begin(), filter.tasks.end()),
      descriptors_(filter.descriptors.begin(), filter.descriptors.end()) {
  for (const auto& name : filter.calls) calls_.insert(call_number(name));
  for (const auto& name : filter.signals) {
    if (name == "all")
      all_signals_ = true;
    else
      signals_.insert(signal_number(name));
  }
  if (!filter.from.empty()) from_ns_ = nanoseconds(filter.from);
  if (!filter.to.empty()) to_ns_ = nanoseconds(filter.to);
}

bool WantedEvents::operator()(const Event& event) const {
  if (event.time_ns < from_ns_ || event.time_ns > to_ns_) return false;
  if (!tasks_.empty() && !tasks_.contains(event.place.task)) return false;
  const bool narrowed =
      !calls_.empty() || !descriptors_.empty() || !signals_.empty() || all_signals_;
  if (!narrowed) return true;
  if (const auto* signal = std::get_if<event::Signal>(&event.body))
    return all_signals_ || signals_.contains(signal->number);
  const auto* call = std::get_if<event::Syscall>(&event.body);
  if (!call || (calls_.empty() && descriptors_.empty())) return false;
  if (!calls_.empty() && !calls_.contains(call->number)) return false;
  if (descriptors_.empty()) return true;
  const auto* known = find(call->number);
  if (!known) return false;
  for (size_t i = 0; i < known->count(); ++i) {
    const auto kind = known->arguments[i].kind;
    if ((kind == Kind::descriptor || kind == Kind::directory) &&
        descriptors_.contains(static_cast<int>(call->arguments[i])))
      return true;
  }
  if (gives_descriptor(known->name) && descriptors_.contains(static_cast<int>(call->result)))
    return true;
  return std::ranges::any_of(made(*call, *known), [&](int d) { return descriptors_.contains(d); });
}

}  // namespace heddle::cli
