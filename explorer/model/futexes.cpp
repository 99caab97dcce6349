#include "explorer/model/futexes.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>

#include "explorer/model/answers.h"

namespace heddle::model {
namespace {

constexpr int kMostRobust = 2048;  // ROBUST_LIST_LIMIT

std::string name_of(uint64_t address) {
  char text[32];
  std::snprintf(text, sizeof text, "futex 0x%llx", static_cast<unsigned long long>(address));
  return text;
}

}  // namespace

SyscallAnswer Futexes::call(const SyscallRequest& request, uint32_t tid, const Clocks& clocks,
                            const GuestMemory& memory, RunQueue& queue) {
  const auto& a = request.arguments;
  const auto command = static_cast<int>(a[1] & FUTEX_CMD_MASK);
  if (a[0] % 4 != 0) return done(-EINVAL);
  forget_ended(queue);
  uint64_t deadline = kNever;
  if (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI ||
      command == FUTEX_LOCK_PI2) {
    // WAIT has a relative time limit, LOCK_PI one by the wall clock.
    const bool wall = command == FUTEX_LOCK_PI || (a[1] & FUTEX_CLOCK_REALTIME) != 0;
    const auto limit = clocks.deadline(a[3],
                                       command == FUTEX_WAIT ? Clocks::Limit::relative
                                       : wall                ? Clocks::Limit::wall
                                                             : Clocks::Limit::monotonic,
                                       queue.now(), memory);
    if (limit.error != 0) return done(limit.error);
    deadline = limit.at;
  }
  switch (command) {
    case FUTEX_WAIT:
      return wait(request, ~0u, deadline, memory, queue);
    case FUTEX_WAIT_BITSET:
      if (static_cast<uint32_t>(a[5]) == 0) return done(-EINVAL);
      return wait(request, static_cast<uint32_t>(a[5]), deadline, memory, queue);
    case FUTEX_WAKE:
      return done(wake(a[0], a[2], ~0u, queue));
    case FUTEX_WAKE_BITSET:
      if (static_cast<uint32_t>(a[5]) == 0) return done(-EINVAL);
      return done(wake(a[0], a[2], static_cast<uint32_t>(a[5]), queue));
    case FUTEX_REQUEUE:
      return requeue(request, false, memory, queue);
    case FUTEX_CMP_REQUEUE:
      return requeue(request, true, memory, queue);
    case FUTEX_WAKE_OP:
      return wake_and_operate(request, memory, queue);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
      return lock(request, tid, false, deadline, memory, queue);
    case FUTEX_TRYLOCK_PI:
      return lock(request, tid, true, kNever, memory, queue);
    case FUTEX_UNLOCK_PI:
      return unlock(request, tid, memory, queue);
    default:
      return infeasible("futex command " + std::to_string(command) + " is not modelled");
  }
}

SyscallAnswer Futexes::wait(const SyscallRequest& request, uint32_t bits, uint64_t deadline,
                            const GuestMemory& memory, RunQueue& queue) {
  const auto& a = request.arguments;
  const TaskId task = request.place.task;
  const auto value = memory.load<uint32_t>(a[0]);
  if (!value) return done(-EFAULT);
  if (*value != static_cast<uint32_t>(a[2])) return done(-EAGAIN);
  Wait wait;
  wait.what = name_of(a[0]);
  wait.futex = a[0];
  wait.deadline = deadline;
  wait.timed_out = done(-ETIMEDOUT);
  // ERESTART_RESTARTBLOCK with a time limit: a handler ends the call.
  wait.on_signal = deadline == kNever ? OnSignal::restarts : OnSignal::interrupts;
  waiters_.push_back({task, queue.block(task, wait), a[0], bits, 0});
  return of_kind(SyscallAnswer::Kind::blocks);
}

int64_t Futexes::wake(uint64_t address, uint64_t most, uint32_t bits, RunQueue& queue) {
  // As the kernel has it, waking at most none wakes one.
  const auto limit = std::max(static_cast<int32_t>(most), 1);
  int64_t woken = 0;
  for (auto waiter = waiters_.begin(); waiter != waiters_.end() && woken < limit;) {
    if (waiter->address != address || waiter->tid != 0 || !(waiter->bits & bits)) {
      ++waiter;
      continue;
    }
    queue.end(waiter->task, done(0));
    waiter = waiters_.erase(waiter);
    ++woken;
  }
  return woken;
}

uint32_t Futexes::choice(const SyscallRequest& request, const RunQueue& queue) {
  const auto& a = request.arguments;
  const auto command = static_cast<int>(a[1] & FUTEX_CMD_MASK);
  if (request.number != SYS_futex ||
      (command != FUTEX_WAKE && command != FUTEX_WAKE_BITSET && command != FUTEX_WAKE_OP &&
       command != FUTEX_REQUEUE && command != FUTEX_CMP_REQUEUE))
    return 0;
  forget_ended(queue);
  const auto count = std::ranges::count_if(
      waiters_, [&](const Waiter& w) { return w.address == a[0] && w.tid == 0; });
  return count > static_cast<int32_t>(a[2]) ? static_cast<uint32_t>(count) : 0;
}

void Futexes::bring_forward(uint64_t address, uint32_t number) {
  for (auto waiter = waiters_.begin(); waiter != waiters_.end(); ++waiter) {
    if (waiter->address != address || waiter->tid != 0 || number-- != 0) continue;
    const Waiter first = *waiter;
    waiters_.erase(waiter);
    waiters_.push_front(first);
    return;
  }
}

SyscallAnswer Futexes::requeue(const SyscallRequest& request, bool compare,
                               const GuestMemory& memory, RunQueue& queue) {
  const auto& a = request.arguments;
  const auto value = memory.load<uint32_t>(a[0]);
  if (!value) return done(-EFAULT);
  if (compare && *value != static_cast<uint32_t>(a[5])) return done(-EAGAIN);
  const auto most_woken = static_cast<int32_t>(a[2]), most_moved = static_cast<int32_t>(a[3]);
  if (most_woken < 0 || most_moved < 0) return done(-EINVAL);
  int64_t count = most_woken > 0 ? wake(a[0], a[2], ~0u, queue) : 0;
  // Moved ones stand behind those who wait there already.
  std::deque<Waiter> moved;
  for (auto waiter = waiters_.begin();
       waiter != waiters_.end() && moved.size() < static_cast<size_t>(most_moved);) {
    if (waiter->address != a[0] || waiter->tid != 0) {
      ++waiter;
      continue;
    }
    moved.push_back(*waiter);
    moved.back().address = a[4];
    waiter = waiters_.erase(waiter);
  }
  waiters_.insert(waiters_.end(), moved.begin(), moved.end());
  if (compare) count += static_cast<int64_t>(moved.size());
  return done(count);
}

SyscallAnswer Futexes::wake_and_operate(const SyscallRequest& request, const GuestMemory& memory,
                                        RunQueue& queue) {
  const auto& a = request.arguments;
  const auto old = memory.load<uint32_t>(a[4]);
  if (!old) return done(-EFAULT);
  const auto encoded = static_cast<uint32_t>(a[5]);
  const auto sign_extended = [](uint32_t twelve_bits) {
    return static_cast<int32_t>(twelve_bits << 20) >> 20;
  };
  const uint32_t operation = encoded >> 28 & 7, comparison = encoded >> 24 & 15;
  auto operand = static_cast<uint32_t>(sign_extended(encoded >> 12 & 0xfff));
  const int32_t other = sign_extended(encoded & 0xfff);
  if (encoded >> 28 & FUTEX_OP_OPARG_SHIFT) operand = 1u << (operand & 31);
  uint32_t value = *old;
  switch (operation) {
    case FUTEX_OP_SET:
      value = operand;
      break;
    case FUTEX_OP_ADD:
      value += operand;
      break;
    case FUTEX_OP_OR:
      value |= operand;
      break;
    case FUTEX_OP_ANDN:
      value &= ~operand;
      break;
    case FUTEX_OP_XOR:
      value ^= operand;
      break;
    default:
      return done(-ENOSYS);
  }
  const auto before = static_cast<int32_t>(*old);
  const bool holds[] = {before == other, before != other,
                        before<other, before <= other, before> other, before >= other};
  if (comparison >= std::size(holds)) return done(-ENOSYS);
  int64_t woken = wake(a[0], a[2], ~0u, queue);
  if (holds[comparison]) woken += wake(a[4], a[3], ~0u, queue);
  return done(woken, {effect(a[4], value)});
}

SyscallAnswer Futexes::lock(const SyscallRequest& request, uint32_t tid, bool try_only,
                            uint64_t deadline, const GuestMemory& memory, RunQueue& queue) {
  const uint64_t address = request.arguments[0];
  const auto value = memory.load<uint32_t>(address);
  if (!value) return done(-EFAULT);
  const uint32_t owner = *value & FUTEX_TID_MASK;
  if (owner == tid) return done(-EDEADLK);
  const bool waited_for = std::ranges::any_of(
      waiters_, [&](const Waiter& w) { return w.address == address && w.tid != 0; });
  if (owner == 0)
    return done(0, {effect(address, tid | (*value & FUTEX_OWNER_DIED) |
                                        (waited_for ? uint32_t{FUTEX_WAITERS} : 0))});
  if (try_only) return done(-EAGAIN);
  Wait wait;
  wait.what = name_of(address) + " (a mutex with priority inheritance)";
  wait.futex = address;
  wait.deadline = deadline;
  wait.timed_out = done(-ETIMEDOUT);
  const TaskId task = request.place.task;
  waiters_.push_back({task, queue.block(task, wait), address, ~0u, tid});
  SyscallAnswer answer = of_kind(SyscallAnswer::Kind::blocks);
  answer.effects.push_back(effect(address, *value | FUTEX_WAITERS));
  return answer;
}

SyscallAnswer Futexes::unlock(const SyscallRequest& request, uint32_t tid,
                              const GuestMemory& memory, RunQueue& queue) {
  const uint64_t address = request.arguments[0];
  const auto value = memory.load<uint32_t>(address);
  if (!value) return done(-EFAULT);
  if ((*value & FUTEX_TID_MASK) != tid) return done(-EPERM);
  return done(0, {effect(address, hand_over(address, queue))});
}

uint32_t Futexes::hand_over(uint64_t address, RunQueue& queue) {
  const auto waits_here = [&](const Waiter& w) { return w.address == address && w.tid != 0; };
  const auto first = std::ranges::find_if(waiters_, waits_here);
  if (first == waiters_.end()) return 0;
  const Waiter next = *first;
  waiters_.erase(first);
  queue.end(next.task, done(0));
  return next.tid | (std::ranges::any_of(waiters_, waits_here) ? uint32_t{FUTEX_WAITERS} : 0);
}

std::vector<MemoryEffect> Futexes::task_ended(TaskId task, uint32_t tid, uint64_t clear_tid,
                                              const GuestMemory& memory, RunQueue& queue) {
  forget_ended(queue);
  std::vector<MemoryEffect> effects;
  const auto give_up = [&](uint64_t entry, int64_t offset) {
    const bool inherits = entry & 1;
    const uint64_t word = (entry & ~uint64_t{1}) + static_cast<uint64_t>(offset);
    const auto value = memory.load<uint32_t>(word);
    if (!value || (*value & FUTEX_TID_MASK) != tid) return;
    if (inherits) {
      effects.push_back(effect(word, hand_over(word, queue) | FUTEX_OWNER_DIED));
      return;
    }
    effects.push_back(effect(word, (*value & FUTEX_WAITERS) | FUTEX_OWNER_DIED));
    if (*value & FUTEX_WAITERS) wake(word, 1, ~0u, queue);
  };
  if (const auto list = robust_list_.find(task); list != robust_list_.end()) {
    const uint64_t head = list->second;
    const auto first = memory.load<uint64_t>(head);
    const auto offset = memory.load<int64_t>(head + 8);
    const auto pending = memory.load<uint64_t>(head + 16);
    if (first && offset && pending) {
      uint64_t entry = *first;
      for (int i = 0; i < kMostRobust && (entry & ~uint64_t{1}) != head; ++i) {
        const auto next = memory.load<uint64_t>(entry & ~uint64_t{1});
        if (entry != *pending) give_up(entry, *offset);
        if (!next) break;
        entry = *next;
      }
      if (*pending != 0) give_up(*pending, *offset);
    }
    robust_list_.erase(list);
  }
  if (clear_tid != 0) {
    effects.push_back(effect(clear_tid, uint32_t{0}));
    wake(clear_tid, 1, ~0u, queue);
  }
  return effects;
}

void Futexes::forget_ended(const RunQueue& queue) {
  std::erase_if(waiters_, [&](const Waiter& w) { return !queue.waits(w.task, w.number); });
}

}  // namespace heddle::model
