// Answers a program's system calls when its tasks run in another order than in the recording:
// without the real kernel, deterministically. A value: a checkpoint copies it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "explorer/model/address_space.h"
#include "explorer/model/children.h"
#include "explorer/model/clocks.h"
#include "explorer/model/futexes.h"
#include "explorer/model/input_output.h"
#include "explorer/model/recorded_answers.h"
#include "explorer/model/run_queue.h"
#include "explorer/model/signals.h"
#include "machine/kernel.h"
#include "machine/syscalls/effects.h"
#include "trace_format/fault.h"

namespace heddle {

// Threads, futexes, time, signals between the program's own tasks, what flows through its own pipes
// and its output are modelled (explorer/model/, one file per subject); what the outside answered
// comes from the recording, matched by call. Anything else is infeasible.
class ModelKernel {
 public:
  explicit ModelKernel(std::shared_ptr<const std::vector<Event>> recording);

  // The caller writes the answer's effects to the guest; those of a call that blocks too, before
  // anybody else runs.
  SyscallAnswer answer(const SyscallRequest& request, const GuestMemory& memory);
  // How else the call may end if it is made now; and an answer that ends so. Infeasible where it
  // cannot.
  std::vector<Fault> faults(const SyscallRequest& request, const GuestMemory& memory) const;
  SyscallAnswer answer(const SyscallRequest& request, const GuestMemory& memory,
                       const Fault& fault);
  // What a mapping of a file shows; nothing for anonymous ones.
  std::optional<FileRange> file_of(const SyscallRequest& request);

  // Earliest-runnable first.
  std::vector<TaskId> runnable() const { return queue_.runnable(); }
  // The end of the blocked call of a task that is runnable again. A result of -ERESTARTSYS (-512):
  // a signal came, and the call is made again after its handler.
  SyscallAnswer collect(TaskId task) { return queue_.collect(task); }
  // Virtual time: 1 ns a tick, 200 ns a call. Sleepers whose time has come become runnable.
  void ran(Ticks ticks);
  // Nobody is runnable: time jumps to the next deadline, timer or signal of the outside. False:
  // there is none.
  bool advance_time();
  // Tasks that wait with a time limit, by deadline; and time jumping to one's deadline.
  std::vector<TaskId> sleepers(uint64_t within = model::kNever) const {
    return queue_.sleepers(within);
  }
  void advance_to(TaskId sleeper);
  // When something happens though no task does anything; never: the greatest number.
  uint64_t next_due() const;
  // The task is the last of those that can run.
  void preempt(TaskId task) { queue_.yield(task); }
  uint64_t now_ns() const { return queue_.now(); }

  // A signal that the recording did not have: place_signal() can bring it, once, while the program
  // handles it.
  void expect_signal(int32_t number) { signals_.expect(number); }
  // Signals that place_signal() can bring now: a timer's if it runs out `within` ns.
  std::vector<int32_t> outside_signals(uint64_t within) const;
  // The first of these signals that is still to come comes now, to this task. False: there is none.
  bool place_signal(int32_t number, TaskId task);
  // The kernel's numbers of tasks.
  const std::map<TaskId, int64_t>& tids() const { return tids_; }

  // A signal to take before the task runs on.
  std::optional<SignalInfo> take_signal(TaskId task) { return signals(task).take(task); }
  // Of the process that the task belongs to; not for one with child_runs().
  SignalState& signals(TaskId task) {
    return children_.starting(task) ? children_.signals(task) : signals_.state();
  }
  // May a signal come to the task now?
  bool deliverable(TaskId task) { return !child_runs(task) && signals(task).deliverable(task); }

  // Is it a child that still runs the program's code; with memory of its own?
  bool starting(TaskId task) const { return children_.starting(task); }
  bool forked(TaskId task) const { return child_addresses_.contains(task); }
  void child_killed(TaskId child, int32_t signal);

  // Is the task one of the process that is explored?
  bool own(TaskId task) const { return signals_.has(task); }
  // Is it a child whose code is not run? What it does next is acted instead.
  bool child_runs(TaskId task) const { return children_.runs(task); }
  // What makes the run infeasible; empty: nothing.
  std::string act(TaskId child);
  // See Children.
  std::string take_misdirected() { return children_.take_misdirected(); }
  // The mask that the frame of a signal that ended rt_sigsuspend restores; once.
  std::optional<uint64_t> take_saved_mask(TaskId task) { return signals_.take_saved_mask(task); }

  // What was written to descriptor 1 or 2.
  const std::string& output(int stream) const { return input_output_.output(stream); }
  // What every task waits for; first the cycle, if one can be seen.
  std::string deadlock_description(const GuestMemory& memory) const;
  std::string waiting_description() const;  // likewise, without
  // Somebody waits for what only the outside could bring: nobody knows whether that is a deadlock.
  bool waits_for_outside() const { return queue_.waits_for_outside(); }

 private:
  // What the same call returned in the recording; 0: it was not made there.
  uint64_t recorded_address(const SyscallRequest& request) const;
  // Does a handler end calls that would go on after it otherwise?
  bool interrupts_calls() const;
  std::optional<SyscallAnswer> modelled(const SyscallRequest& request, const GuestMemory& memory);
  SyscallAnswer clone(const SyscallRequest& request, const GuestMemory& memory);
  // model_children.cpp
  TaskId next_task();
  SyscallAnswer make_child(const SyscallRequest& request, const CloneArguments& wanted,
                           const GuestMemory& memory);
  SyscallAnswer child_answer(const SyscallRequest& request, const GuestMemory& memory);
  SyscallAnswer early_answer(const SyscallRequest& request);
  SyscallAnswer modelled_for_child(const SyscallRequest& request, const GuestMemory& memory);
  SyscallAnswer exit_task(const SyscallRequest& request, const GuestMemory& memory);
  int64_t tid(TaskId task) const;
  // Signals and timers that are due by now.
  void settle();
  void jump_to(uint64_t time);

  model::AddressSpace addresses_;
  std::shared_ptr<const model::Recording> recording_;
  model::RecordedAnswers answers_;
  model::RunQueue queue_;
  model::Futexes futexes_;
  model::Clocks clocks_;
  model::Signals signals_;
  model::InputOutput input_output_;
  model::Children children_;
  std::map<TaskId, uint64_t> clear_tid_;
  std::map<TaskId, int64_t> tids_;
  TaskId last_task_ = 1;
  size_t made_tasks_ = 0;
  std::map<TaskId, model::AddressSpace> child_addresses_;  // of those that fork made
  std::set<size_t> used_early_;                            // see early_answer()
  uint64_t random_ = 0;  // state of the stream that answers getrandom behind the recording's end
};

}  // namespace heddle
