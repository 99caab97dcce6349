// Answers a program's system calls when its tasks run in another order than in the recording:
// without the real kernel, deterministically. A value: a checkpoint copies it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machine/kernel.h"
#include "machine/tracee/signal_state.h"

namespace heddle {

// Threads, futexes, time, signals between the program's own tasks, and output are modelled; what
// the outside answered comes from the recording, matched by call. Anything else is infeasible.
class ModelKernel {
 public:
  explicit ModelKernel(std::shared_ptr<const std::vector<Event>> recording);

  // The caller writes the answer's effects to the guest.
  SyscallAnswer answer(const SyscallRequest& request, const GuestMemory& memory);
  // What a mapping of a file shows; nothing for anonymous ones.
  std::optional<FileRange> file_of(const SyscallRequest& request) const;

  // Earliest-runnable first.
  std::vector<TaskId> runnable() const { return runnable_; }
  // The end of the blocked call of a task that is runnable again.
  SyscallAnswer collect(TaskId task);
  // Virtual time: 1 ns a tick, 200 ns a call. Sleepers whose time has come become runnable.
  void ran(Ticks ticks);
  // Nobody is runnable: time jumps to the next deadline. False: there is none.
  bool advance_time();
  // Tasks that wait with a time limit, by deadline; and time jumping to one's deadline.
  std::vector<TaskId> sleepers() const;
  void advance_to(TaskId sleeper);
  uint64_t now_ns() const { return now_; }

  // A signal to take before the task runs on.
  std::optional<SignalInfo> take_signal(TaskId task) { return signals_.take(task); }
  SignalState& signals() { return signals_; }

  // What was written to descriptor 1 or 2.
  const std::string& output(int stream) const { return stream == 1 ? output_ : error_; }
  std::string deadlock_description() const;

 private:
  struct Waiter {
    uint64_t address = 0;  // futex; 0: a sleep
    uint32_t bits = ~0u;
    uint64_t deadline = ~uint64_t{0};
    int64_t result = 0;
  };
  SyscallAnswer futex(const SyscallRequest& request, const GuestMemory& memory);
  SyscallAnswer sleep(const SyscallRequest& request, const GuestMemory& memory);
  SyscallAnswer clone(const SyscallRequest& request, const GuestMemory& memory);
  SyscallAnswer write(const SyscallRequest& request, const GuestMemory& memory);
  SyscallAnswer recorded(const SyscallRequest& request);
  void block(TaskId task, const Waiter& waiter);
  void wake(TaskId task, int64_t result);
  int64_t wake_futex(uint64_t address, uint64_t count, uint32_t bits);
  uint64_t deadline(uint64_t timespec, bool absolute, const GuestMemory& memory) const;

  std::shared_ptr<const std::vector<Event>> recording_;
  std::vector<bool> used_;  // events of the recording that have answered
  SignalState signals_;
  std::vector<TaskId> runnable_;
  std::map<TaskId, Waiter> waiting_;
  std::vector<TaskId> futex_queue_;  // waiting tasks, first come first
  std::map<TaskId, uint64_t> clear_tid_;
  std::map<TaskId, int64_t> tids_;
  std::map<TaskId, int64_t> ended_calls_;
  TaskId last_task_ = 1;
  uint64_t now_ = 0;
  uint64_t epoch_ = 1'700'000'000'000'000'000;  // virtual wall clock at the start, ns
  std::string output_, error_;
};

}  // namespace heddle
