// Virtual signal dispositions, masks, alternate stacks and pending signals of one process. A value.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "machine/guest_memory.h"
#include "trace_format/event.h"

namespace heddle {

// struct kernel_sigaction of x86-64.
struct SignalAction {
  uint64_t handler = 0;  // 0: SIG_DFL, 1: SIG_IGN
  uint64_t flags = 0;
  uint64_t restorer = 0;
  uint64_t mask = 0;
};

struct SignalInfo {
  int32_t number = 0;
  std::array<uint8_t, 128> siginfo{};
};

// stack_t, as sigaltstack(2) has it.
struct AlternateStack {
  uint64_t sp = 0;
  int32_t flags = 2;  // SS_DISABLE
  uint64_t size = 0;
};

class SignalState {
 public:
  enum class Disposition : uint8_t { ignore, terminate, core, stop, resume, handle };

  const SignalAction& action(int signal) const { return actions_.at(static_cast<size_t>(signal)); }
  void set_action(int signal, const SignalAction& action) {
    actions_.at(static_cast<size_t>(signal)) = action;
  }
  Disposition disposition(int signal) const;  // signal(7)'s defaults

  uint64_t mask(TaskId task) const { return tasks_.at(task).mask; }
  void set_mask(TaskId task, uint64_t mask);
  AlternateStack& alternate_stack(TaskId task) { return tasks_.at(task).stack; }

  // A new thread inherits its parent's mask (parent 0: none).
  void add_task(TaskId child, TaskId parent);
  void remove_task(TaskId task) { tasks_.erase(task); }

  // Of a new process, whose only task `child` is a copy of `parent`: nothing is pending (fork(2)).
  SignalState forked(TaskId parent, TaskId child) const;
  // `task` has called execve and is alone: handlers are gone, what is ignored or pending stays
  // (execve(2)).
  void executed(TaskId task);

  // Task 0: to the process. A standard signal that is pending already is not queued again.
  void post(TaskId task, const SignalInfo& info);
  // The next signal that the task's mask lets through; its own before the process's, low first.
  std::optional<SignalInfo> take(TaskId task);
  bool deliverable(TaskId task) const;

  // The system calls on this state; the result, and what the kernel would write.
  int64_t rt_sigaction(const std::array<uint64_t, 6>& arguments, const GuestMemory& memory,
                       std::vector<MemoryEffect>* effects);
  int64_t rt_sigprocmask(TaskId task, const std::array<uint64_t, 6>& arguments,
                         const GuestMemory& memory, std::vector<MemoryEffect>* effects);
  int64_t sigaltstack(TaskId task, const std::array<uint64_t, 6>& arguments, uint64_t rsp,
                      const GuestMemory& memory, std::vector<MemoryEffect>* effects);

 private:
  struct PerTask {
    uint64_t mask = 0;
    AlternateStack stack;
    std::deque<SignalInfo> pending;
  };
  std::array<SignalAction, 65> actions_{};
  std::map<TaskId, PerTask> tasks_;
  std::deque<SignalInfo> shared_;
};

// The mask while `action`'s handler for `signal` runs.
uint64_t mask_in_handler(uint64_t mask, const SignalAction& action, int signal);

}  // namespace heddle
