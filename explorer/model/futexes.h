// futex(2) and what the kernel does with futex words when a task ends.
#pragma once

#include <deque>
#include <map>
#include <optional>

#include "explorer/model/clocks.h"
#include "explorer/model/run_queue.h"

namespace heddle::model {

// A value. Waiters of a word are woken first come first served; those of a priority-inheritance
// word get it in that order (priorities are not modelled). Not answered: WAIT_REQUEUE_PI,
// CMP_REQUEUE_PI.
class Futexes {
 public:
  // `tid`: the kernel's number of the task that calls.
  SyscallAnswer call(const SyscallRequest& request, uint32_t tid, const Clocks& clocks,
                     const GuestMemory& memory, RunQueue& queue);

  // How many wait at the word that a waking call names; 0 for other calls, and where all are woken.
  uint32_t choice(const SyscallRequest& request, const RunQueue& queue);
  // Its waiter of that number (from 0) is the first from now on.
  void bring_forward(uint64_t address, uint32_t number);

  void set_robust_list(TaskId task, uint64_t head) { robust_list_[task] = head; }
  // The kernel's writes when `task` ends: robust mutexes that it holds (set_robust_list(2)) and
  // `clear_tid` (0: none). Waiters of both are woken.
  std::vector<MemoryEffect> task_ended(TaskId task, uint32_t tid, uint64_t clear_tid,
                                       const GuestMemory& memory, RunQueue& queue);

 private:
  struct Waiter {
    TaskId task = 0;
    WaitNumber number = 0;
    uint64_t address = 0;
    uint32_t bits = ~0u;
    uint32_t tid = 0;  // of a waiter for a priority-inheritance word; 0: for another
  };
  SyscallAnswer wait(const SyscallRequest& request, uint32_t bits, uint64_t deadline,
                     const GuestMemory& memory, RunQueue& queue);
  SyscallAnswer wake_and_operate(const SyscallRequest& request, const GuestMemory& memory,
                                 RunQueue& queue);
  SyscallAnswer requeue(const SyscallRequest& request, bool compare, const GuestMemory& memory,
                        RunQueue& queue);
  SyscallAnswer lock(const SyscallRequest& request, uint32_t tid, bool try_only, uint64_t deadline,
                     const GuestMemory& memory, RunQueue& queue);
  SyscallAnswer unlock(const SyscallRequest& request, uint32_t tid, const GuestMemory& memory,
                       RunQueue& queue);
  int64_t wake(uint64_t address, uint64_t most, uint32_t bits, RunQueue& queue);
  // Hands the word to its first waiter: what it is then.
  uint32_t hand_over(uint64_t address, RunQueue& queue);
  void forget_ended(const RunQueue& queue);

  std::deque<Waiter> waiters_;  // first come first; also some whose wait is over
  std::map<TaskId, uint64_t> robust_list_;
};

}  // namespace heddle::model
