#include "explorer/signal_handlers.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include "machine/tracee/signal_state.h"
#include "trace_format/registers.h"

namespace heddle {
namespace {

// Objects of RaceDetector::release, beside those of Goroutines and KernelOrder.
constexpr uint64_t kInstalled = uint64_t{1} << 58;  // by signal
constexpr uint64_t kSent = kInstalled + 0x100;      // by signal
constexpr uint64_t kOfTasks = uint64_t{1} << 59;    // by task and signal
uint64_t created_object(TaskId task) {
  return kOfTasks + (uint64_t{task} << 8);
}
uint64_t done_object(TaskId task, int signal) {
  return created_object(task) + static_cast<uint64_t>(signal);
}
uint64_t open_object(TaskId task, int signal) {
  return done_object(task, signal) + 0x80;
}

// Keys of strands: tasks and goroutines have smaller ones.
constexpr uint64_t kHandlers = uint64_t{1} << 62;

constexpr uint64_t kRedZone = 128;
constexpr uint64_t kMostStack = 1 << 18;  // of a handler, in bytes
constexpr uint64_t kFrame = 1 << 14;      // at most, with all extended state
constexpr int64_t kRestartNoHandler = -514, kRestartNoInterrupt = -513;  // include/linux/errno.h

constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}

template <typename Visit>
void for_each_signal(uint64_t set, Visit visit) {
  for (int signal = 1; signal <= 64; ++signal)
    if (set & bit(signal)) visit(signal);
}

// The signal that a call sends; 0: none.
int32_t sent_by(const event::Syscall& call) {
  if (call.result != 0) return 0;
  switch (call.number) {
    case SYS_kill:
    case SYS_tkill:
    case SYS_rt_sigqueueinfo:
      return static_cast<int32_t>(call.arguments[1]);
    case SYS_tgkill:
    case SYS_rt_tgsigqueueinfo:
      return static_cast<int32_t>(call.arguments[2]);
    default:
      return 0;
  }
}

}  // namespace

std::optional<StrandId> SignalHandlers::strand(TaskId task) const {
  const auto found = tasks_.find(task);
  if (found == tasks_.end() || found->second.active.empty()) return std::nullopt;
  return found->second.active.back().strand;
}

bool SignalHandlers::private_to(TaskId task, uint64_t address) const {
  const auto found = tasks_.find(task);
  if (found == tasks_.end() || found->second.active.empty()) return false;
  const Activation& now = found->second.active.back();
  return address >= now.low && address < now.high;
}

void SignalHandlers::created(StrandId strand, TaskId parent, TaskId child, RaceDetector& detector) {
  tasks_[child].mask = tasks_[parent].mask;
  detector.release(strand, created_object(child));
}

void SignalHandlers::block(TaskId task, StrandId strand, uint64_t set, RaceDetector& detector) {
  for_each_signal(set, [&](int signal) { detector.acquire(strand, done_object(task, signal)); });
}

void SignalHandlers::unblock(TaskId task, StrandId strand, uint64_t set, RaceDetector& detector) {
  for_each_signal(set, [&](int signal) { detector.release(strand, open_object(task, signal)); });
}

void SignalHandlers::entered(const Event& event, const event::Signal& signal, StrandId host,
                             uint64_t stack_pointer, RaceDetector& detector) {
  if (signal.fatal || signal.number < 1 || signal.number > 64) return;
  const TaskId id = event.place.task;
  Task& task = tasks_[id];
  Activation now;
  now.signal = signal.number;
  now.strand = number_(kHandlers + (uint64_t{id} << 8) + static_cast<uint64_t>(signal.number));
  signals_[now.strand] = signal.number;
  now.low = stack_pointer - kMostStack;
  now.high = stack_pointer + kFrame;
  if (event.registers) {
    // Not on an alternate stack: what lies above belongs to the host.
    const uint64_t interrupted = (*event.registers)[Register::rsp] - kRedZone;
    if (interrupted > stack_pointer && interrupted - stack_pointer < kFrame) now.high = interrupted;
  }
  const bool at_call = task.ticks == event.place.ticks;
  now.awaited = signal.synchronous || (at_call && (task.waited || task.raised == signal.number));
  detector.acquire(now.strand, created_object(id));
  detector.acquire(now.strand, kInstalled + static_cast<uint64_t>(signal.number));
  detector.acquire(now.strand, kSent + static_cast<uint64_t>(signal.number));
  detector.acquire(now.strand, open_object(id, signal.number));
  if (now.awaited) {
    detector.release(host, open_object(id, signal.number));
    detector.acquire(now.strand, open_object(id, signal.number));
  }
  now.blocked =
      (handler_masks_.at(static_cast<size_t>(signal.number)) | bit(signal.number)) & ~task.mask;
  block(id, now.strand, now.blocked, detector);
  task.active.push_back(now);
}

void SignalHandlers::completed(const Event& event, const event::Syscall& call, StrandId strand,
                               const std::function<StrandId(TaskId)>& strand_of,
                               const GuestMemory& memory, RaceDetector& detector) {
  const TaskId id = event.place.task;
  Task& task = tasks_[id];
  const auto& a = call.arguments;
  // A handler that was left by a jump.
  while (event.registers && call.number != SYS_rt_sigreturn && !task.active.empty() &&
         !private_to(id, (*event.registers)[Register::rsp]))
    task.active.pop_back();
  task.ticks = event.place.ticks;
  task.waited = call.result == -EINTR || call.result == kRestartNoHandler ||
                call.result == kRestartNoInterrupt;
  task.raised = sent_by(call);
  if (task.raised > 0 && task.raised <= 64)
    detector.release(strand, kSent + static_cast<uint64_t>(task.raised));

  if (call.number == SYS_rt_sigaction && call.result == 0 && a[1] != 0 && a[0] >= 1 && a[0] <= 64) {
    const auto action = memory.load<SignalAction>(a[1]);
    handler_masks_.at(a[0]) = action ? action->mask : 0;
    detector.release(strand, kInstalled + a[0]);
  } else if (call.number == SYS_rt_sigprocmask && call.result == 0 && a[1] != 0) {
    const uint64_t set = memory.load<uint64_t>(a[1]).value_or(0);
    const uint64_t before = task.mask;
    if (a[0] == SIG_BLOCK) task.mask |= set;
    if (a[0] == SIG_UNBLOCK) task.mask &= ~set;
    if (a[0] == SIG_SETMASK) task.mask = set;
    block(id, strand, task.mask & ~before, detector);
    unblock(id, strand, before & ~task.mask, detector);
  } else if (call.number == SYS_rt_sigreturn && !task.active.empty()) {
    const Activation over = task.active.back();
    task.active.pop_back();
    unblock(id, over.strand, over.blocked, detector);
    detector.release(over.strand, done_object(id, over.signal));
    if (over.awaited) detector.acquire(strand_of(id), done_object(id, over.signal));
  }
}

}  // namespace heddle
