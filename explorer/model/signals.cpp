#include "explorer/model/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "explorer/model/answers.h"
#include "explorer/model/virtual_time.h"

namespace heddle::model {
namespace {

using Disposition = SignalState::Disposition;

constexpr uint64_t bit(int32_t signal) {
  return uint64_t{1} << (signal - 1);
}

// The first words of siginfo_t for a signal that a process sent (uapi/asm-generic/siginfo.h).
struct Head {
  int32_t number, error, code, padding, pid;
  uint32_t uid;
};

Head head_of(const SignalInfo& info) {
  Head head;
  std::memcpy(&head, info.siginfo.data(), sizeof head);
  return head;
}

SignalInfo make_info(int32_t number, int32_t code, int64_t pid) {
  SignalInfo info;
  info.number = number;
  const Head head{number, 0, code, 0, static_cast<int32_t>(pid), 0};
  std::memcpy(info.siginfo.data(), &head, sizeof head);
  return info;
}

bool ends_a_call(Disposition disposition) {
  return disposition == Disposition::handle || disposition == Disposition::terminate ||
         disposition == Disposition::core;
}

// Did it come from outside, and from nothing that is modelled?
bool from_outside(const SignalInfo& info, int64_t own_pid) {
  const Head head = head_of(info);
  if (info.number == SIGCHLD || info.number == SIGPIPE) return false;
  if (head.code == SI_KERNEL) return info.number != SIGALRM;
  if (head.code == SI_USER || head.code == SI_QUEUE || head.code == SI_TKILL)
    return head.pid != own_pid;
  return head.code == SI_TIMER;
}

}  // namespace

Signals::Signals(const Recording& recording) {
  const auto own = recording.tids().find(1);
  const int64_t own_pid = own == recording.tids().end() ? 0 : own->second;
  for (const RecordedSignal& signal : recording.signals())
    if (from_outside(signal.info, own_pid)) outside_.push_back({signal.time, signal.info});
}

void Signals::add_task(TaskId child, TaskId parent) {
  state_.add_task(child, parent);
  tasks_.insert(child);
}

void Signals::remove_task(TaskId task) {
  state_.remove_task(task);
  tasks_.erase(task);
  saved_masks_.erase(task);
  awaited_.erase(task);
}

bool Signals::blocks(TaskId task, int32_t number) const {
  return (state_.mask(task) & bit(number)) != 0;
}

bool Signals::awaits(TaskId task, int32_t number, const RunQueue& queue) const {
  const auto found = awaited_.find(task);
  return found != awaited_.end() && (found->second.set & bit(number)) != 0 &&
         queue.waits(task, found->second.number);
}

SyscallAnswer Signals::received(const SignalInfo& info, uint64_t info_at) {
  std::vector<MemoryEffect> effects;
  if (info_at != 0) effects.push_back(effect(info_at, info.siginfo));
  return done(info.number, std::move(effects));
}

void Signals::post(TaskId task, const SignalInfo& info, RunQueue& queue) {
  // Whoever waits for just this one gets it, blocked or not.
  for (const TaskId waiter : tasks_) {
    if ((task != 0 && waiter != task) || !awaits(waiter, info.number, queue)) continue;
    queue.end(waiter, received(info, awaited_.at(waiter).info_at));
    awaited_.erase(waiter);
    return;
  }
  const Disposition disposition = state_.disposition(info.number);
  TaskId taker = task;
  if (task == 0) {
    const auto open = std::ranges::find_if(
        tasks_, [&](TaskId candidate) { return !blocks(candidate, info.number); });
    taker = open == tasks_.end() ? 0 : *open;
  }
  const bool blocked = taker == 0 || blocks(taker, info.number);
  if (!blocked && !ends_a_call(disposition)) return;  // ignored, or stops: not modelled
  const Wait* wait = blocked ? nullptr : queue.wait_of(taker);
  const bool interrupts = wait && wait->on_signal != OnSignal::waits_on;
  // Left to the process if that is where it was sent, unless a call ends for it.
  state_.post(interrupts ? taker : task, info);
  if (interrupts)
    queue.interrupt(taker, (state_.action(info.number).flags & SA_RESTART) != 0 &&
                               disposition == Disposition::handle);
}

void Signals::post(TaskId task, int32_t number, int32_t code, RunQueue& queue) {
  post(task, make_info(number, code, 0), queue);
}

std::optional<uint64_t> Signals::take_saved_mask(TaskId task) {
  auto node = saved_masks_.extract(task);
  return node.empty() ? std::nullopt : std::optional(node.mapped());
}

void Signals::post_due(RunQueue& queue) {
  while (next_outside() != kNever && next_outside() <= queue.now()) {
    const SignalInfo info = outside_.front().info;
    outside_.pop_front();
    post(0, info, queue);
  }
}

void Signals::expect(int32_t number) {
  outside_.push_back({kNever, make_info(number, SI_USER, 0)});
}

std::vector<int32_t> Signals::outside() const {
  std::vector<int32_t> numbers;
  for (const Due& due : outside_) {
    const bool may_come =
        due.due != kNever || state_.disposition(due.info.number) == Disposition::handle;
    if (may_come && std::ranges::count(numbers, due.info.number) == 0)
      numbers.push_back(due.info.number);
  }
  return numbers;
}

bool Signals::place(int32_t number, TaskId task, RunQueue& queue) {
  const auto first =
      std::ranges::find_if(outside_, [&](const Due& due) { return due.info.number == number; });
  if (first == outside_.end()) return false;
  const SignalInfo info = first->info;
  outside_.erase(first);
  post(task, info, queue);
  return true;
}

std::optional<SyscallAnswer> Signals::call(const SyscallRequest& request, const GuestMemory& memory,
                                           const std::map<TaskId, int64_t>& tids, RunQueue& queue) {
  const auto& a = request.arguments;
  const TaskId task = request.place.task;
  const int64_t own_pid = tids.at(1);
  const auto of_tid = [&](uint64_t tid) -> TaskId {
    for (const TaskId candidate : tasks_)
      if (tids.contains(candidate) && tids.at(candidate) == static_cast<int32_t>(tid))
        return candidate;
    return 0;
  };
  std::vector<MemoryEffect> effects;
  if (const auto result = state_.call(request.number, task, a, 0, memory, &effects))
    return done(*result, std::move(effects));
  switch (request.number) {
    case SYS_rt_sigreturn:
      return of_kind(SyscallAnswer::Kind::sigreturn);
    case SYS_rt_sigpending:
      return pending(request);
    case SYS_rt_sigsuspend:
      return suspend(request, memory, queue);
    case SYS_rt_sigtimedwait:
      return wait_for(request, memory, queue);
    case SYS_pause: {
      Wait wait;
      wait.what = "a signal (pause)";
      wait.on_signal = OnSignal::interrupts;
      queue.block(task, wait);
      return of_kind(SyscallAnswer::Kind::blocks);
    }
    case SYS_kill:
    case SYS_rt_sigqueueinfo:
      if (static_cast<int32_t>(a[0]) != own_pid && static_cast<int32_t>(a[0]) != 0)
        return std::nullopt;
      return send(request, 0, memory, own_pid, queue);
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_tgsigqueueinfo: {
      const bool grouped = request.number != SYS_tkill;
      if (grouped && static_cast<int32_t>(a[0]) != own_pid) return std::nullopt;
      const TaskId target = of_tid(a[grouped ? 1 : 0]);
      if (target == 0) return done(-ESRCH);
      return send(request, target, memory, own_pid, queue);
    }
    default:
      return std::nullopt;
  }
}

SyscallAnswer Signals::send(const SyscallRequest& request, TaskId task, const GuestMemory& memory,
                            int64_t own_pid, RunQueue& queue) {
  const auto& a = request.arguments;
  const bool to_thread = request.number == SYS_tgkill || request.number == SYS_rt_tgsigqueueinfo;
  const auto number = static_cast<int32_t>(a[to_thread ? 2 : 1]);
  if (number < 0 || number > 64) return done(-EINVAL);
  const bool to_process = request.number == SYS_kill;
  SignalInfo info = make_info(number, to_process ? SI_USER : SI_TKILL, own_pid);
  if (request.number == SYS_rt_sigqueueinfo || request.number == SYS_rt_tgsigqueueinfo) {
    const uint64_t at = a[to_thread ? 3 : 2];
    if (memory.read(at, info.siginfo) != info.siginfo.size()) return done(-EFAULT);
    std::memcpy(info.siginfo.data(), &number, sizeof number);
  }
  if (number != 0) post(task, info, queue);
  return done(0);
}

std::optional<SignalInfo> Signals::take_of(TaskId task, uint64_t set) {
  const uint64_t mask = state_.mask(task);
  state_.set_mask(task, ~set);
  const auto info = state_.take(task);
  state_.set_mask(task, mask);
  return info;
}

SyscallAnswer Signals::pending(const SyscallRequest& request) {
  SignalState copy = state_;
  copy.set_mask(request.place.task, 0);
  uint64_t set = 0;
  while (const auto info = copy.take(request.place.task)) set |= bit(info->number);
  return done(0, {effect(request.arguments[0], set & state_.mask(request.place.task))});
}

SyscallAnswer Signals::wait_for(const SyscallRequest& request, const GuestMemory& memory,
                                RunQueue& queue) {
  const auto& a = request.arguments;
  const TaskId task = request.place.task;
  if (a[3] != sizeof(uint64_t)) return done(-EINVAL);
  const auto set = memory.load<uint64_t>(a[0]);
  if (!set) return done(-EFAULT);
  Wait wait;
  wait.what = "a signal (sigtimedwait)";
  wait.on_signal = OnSignal::interrupts;
  wait.timed_out = done(-EAGAIN);
  if (a[2] != 0) {
    const auto limit = memory.load<timespec>(a[2]);
    if (!limit) return done(-EFAULT);
    const auto ns = to_ns(*limit);
    if (!ns) return done(-EINVAL);
    wait.deadline = queue.now() + *ns;
  }
  const uint64_t wanted = *set & ~(bit(SIGKILL) | bit(SIGSTOP));
  if (const auto info = take_of(task, wanted)) return received(*info, a[1]);
  if (wait.deadline == queue.now()) return done(-EAGAIN);
  awaited_[task] = {queue.block(task, wait), wanted, a[1]};
  return of_kind(SyscallAnswer::Kind::blocks);
}

SyscallAnswer Signals::suspend(const SyscallRequest& request, const GuestMemory& memory,
                               RunQueue& queue) {
  const TaskId task = request.place.task;
  if (request.arguments[1] != sizeof(uint64_t)) return done(-EINVAL);
  const auto mask = memory.load<uint64_t>(request.arguments[0]);
  if (!mask) return done(-EFAULT);
  saved_masks_[task] = state_.mask(task);
  state_.set_mask(task, *mask);
  if (state_.deliverable(task)) return done(-EINTR);
  Wait wait;
  wait.what = "a signal (sigsuspend)";
  wait.on_signal = OnSignal::interrupts;
  queue.block(task, wait);
  return of_kind(SyscallAnswer::Kind::blocks);
}

}  // namespace heddle::model
