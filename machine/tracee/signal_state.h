// Virtual signal dispositions, masks, alternate stacks and pending signals of one process. A value.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "machine/guest_memory.h"
#include "trace_format/event.h"
#include "trace_format/syscall_log.h"

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

// stack_t, as sigaltstack(2) was given it; none where the size is 0.
struct AlternateStack {
  uint64_t sp = 0;
  int32_t flags = 0;
  uint64_t size = 0;
  bool operator==(const AlternateStack&) const = default;

  bool holds(uint64_t rsp) const { return rsp > sp && rsp - sp <= size; }
  // Switched off while a handler runs on it (SS_AUTODISARM).
  bool disarms() const { return static_cast<uint32_t>(flags) & 0x80000000u; }
};

// What the kernel remembers of a thread's last fault, and puts into every frame.
struct LastFault {
  uint64_t trap = 0;     // exception vector
  uint64_t error = 0;    // its error code
  uint64_t address = 0;  // of the last page fault
};

// What the runtime is told of a task's signals (machine/runtime/signal_calls.h).
struct TaskSignals {
  uint64_t blocked = 0;
  AlternateStack stack;
};

class SignalState {
 public:
  enum class Disposition : uint8_t { ignore, terminate, core, stop, resume, handle };

  const SignalAction& action(int signal) const { return actions_.at(static_cast<size_t>(signal)); }
  void set_action(int signal, const SignalAction& action) {
    actions_.at(static_cast<size_t>(signal)) = action;
  }
  Disposition disposition(int signal) const;
  static Disposition default_of(int signal);  // signal(7): what befalls a program without handlers

  // Would it end a call that waits, with this mask in place?
  bool interrupts(int signal, uint64_t mask) const;

  uint64_t mask(TaskId task) const { return tasks_.at(task).mask; }
  void set_mask(TaskId task, uint64_t mask);
  const AlternateStack& alternate_stack(TaskId task) const { return tasks_.at(task).stack; }
  // What sigaltstack and rt_sigreturn do with rsp as given: 0 or a negative errno.
  int64_t change_alternate_stack(TaskId task, const AlternateStack& wanted, uint64_t rsp);

  const LastFault& last_fault(TaskId task) const { return tasks_.at(task).fault; }
  void set_last_fault(TaskId task, const LastFault& fault) { tasks_.at(task).fault = fault; }

  // The frame for `signal` is built: mask, SA_RESETHAND, SS_AUTODISARM.
  void entered_handler(TaskId task, int signal);

  // A new thread inherits its parent's mask (parent 0: none).
  void add_task(TaskId child, TaskId parent);
  void remove_task(TaskId task) { tasks_.erase(task); }
  // The first task of a program, with what execve(2) leaves of its caller's: bit N-1 for signal N.
  void inherit(TaskId task, uint64_t blocked, uint64_t ignored);

  // Of a new process, whose only task `child` is a copy of `parent`: nothing is pending (fork(2)).
  SignalState forked(TaskId parent, TaskId child) const;
  // `task` has called execve and is alone: handlers are gone, what is ignored or pending stays
  // (execve(2)).
  void executed(TaskId task);

  // Task 0: to the process. A standard signal that is pending already is not queued again.
  void post(TaskId task, const SignalInfo& info);
  // The next signal that the task's mask lets through; its own before the process's, low first.
  std::optional<SignalInfo> take(TaskId task);
  // The same for signals that the kernel has put in order, by posting them in it: the first of
  // them.
  std::optional<SignalInfo> take_first(TaskId task);
  bool deliverable(TaskId task) const;
  // All that was posted and not taken: the task's own, or (task 0) the process's.
  const std::deque<SignalInfo>& pending(TaskId task) const;

  // rt_sigaction, rt_sigprocmask and sigaltstack.
  static bool has_call(uint64_t number);
  // One of them: the result, and what the kernel would write. Nothing for another call.
  std::optional<int64_t> call(uint64_t number, TaskId task,
                              const std::array<uint64_t, 6>& arguments, uint64_t rsp,
                              const GuestMemory& memory, std::vector<MemoryEffect>* effects);
  // The same for one that the runtime has made: a whole entry of the log.
  void follow(std::span<const uint8_t> entry);

 private:
  int64_t rt_sigaction(const std::array<uint64_t, 6>& arguments, const GuestMemory& memory,
                       std::vector<MemoryEffect>* effects);
  int64_t rt_sigprocmask(TaskId task, const std::array<uint64_t, 6>& arguments,
                         const GuestMemory& memory, std::vector<MemoryEffect>* effects);
  int64_t sigaltstack(TaskId task, const std::array<uint64_t, 6>& arguments, uint64_t rsp,
                      const GuestMemory& memory, std::vector<MemoryEffect>* effects);

  template <typename Find>
  std::optional<SignalInfo> take_found(TaskId task, Find find);

  struct PerTask {
    uint64_t mask = 0;
    AlternateStack stack;
    LastFault fault;
    std::deque<SignalInfo> pending;
  };
  std::array<SignalAction, 65> actions_{};
  std::map<TaskId, PerTask> tasks_;
  std::deque<SignalInfo> shared_;
};

}  // namespace heddle
