// Processes that the program makes: who there is, what they do, and who waits for them.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "explorer/model/input_output.h"
#include "explorer/model/recording.h"
#include "explorer/model/run_queue.h"
#include "explorer/model/signals.h"

namespace heddle::model {

// A child's life:
//
//   starting ---- execve ----> runs ---- its last act, or a signal ----> zombie ---- wait ---->
//   gone
//      |                                                                   ^
//      +---- exit ---------------------------------------------------------+
//
// *starting*: a task that runs the process's code, with descriptors and dispositions of its own.
// One that vfork made is in the process's memory, and who made it stands still until it executes a
// program or ends; one that fork made has a copy.
// *runs*: what it does is what the recorded child did that executed the same program with the same
// arguments and environment: it reads and writes the process's pipes, takes the process's signals,
// and ends. When each of these acts happens is a decision of the schedule, as for any task; an act
// that the present run has no room for (other bytes in the pipe, a signal at another time than the
// program's handler had it) is infeasible.
// A value.
class Children {
 public:
  explicit Children(std::shared_ptr<const Recording> recording);

  // `waits`: `parent` stands still meanwhile. Its parent may be a starting child.
  void add(TaskId child, TaskId parent, int64_t pid, int32_t exit_signal, bool waits,
           const SignalState& parents);
  bool starting(TaskId task) const;
  bool runs(TaskId task) const;  // its code is not ours
  bool any() const { return !children_.empty(); }
  SignalState& signals(TaskId starting) { return children_.at(starting).signals; }
  int64_t pid(TaskId task) const { return children_.at(task).pid; }

  // execve of a starting child: an error of the recorded run, or an answer of kind `left`.
  SyscallAnswer execute(const SyscallRequest& request, const GuestMemory& memory, InputOutput& io,
                        RunQueue& queue);
  void signal_itself(TaskId starting, int32_t number);
  // exit of a starting child.
  void exit(TaskId task, int32_t status, InputOutput& io, Signals& signals, RunQueue& queue);
  // The next act of a child that runs. What makes the run infeasible; empty: nothing.
  std::string act(TaskId task, InputOutput& io, Signals& signals, RunQueue& queue);
  // Those that wait for what is there now do no longer.
  void progress(InputOutput& io, RunQueue& queue);

  // wait4, waitid, kill and the like as far as they are about children; nothing: they are not.
  std::optional<SyscallAnswer> call(const SyscallRequest& request, RunQueue& queue);
  // A signal was sent to a number that was a child's until it was waited for: what and to whom,
  // once; else empty.
  std::string take_misdirected() { return std::exchange(misdirected_, {}); }

 private:
  enum class State : uint8_t { starting, runs, zombie, gone };
  struct Child {
    TaskId task = 0;
    int64_t pid = 0;
    TaskId parent = 0;  // starting: who waits for it
    TaskId owner = 0;   // whose child it is: a starting one's; 0: the process's
    State state = State::starting;
    SignalState signals;  // starting
    int32_t exit_signal = 0;
    bool own_group = false;
    const ChildProgram* program = nullptr;
    size_t next = 0;                   // of the program's steps
    std::vector<uint8_t> unwritten{};  // of a write that is half done
    bool half_done = false;
    uint64_t ignores = 0, handles = 0, sent = 0;  // signals: bit N-1
    int32_t killed_by = 0;
    int32_t status = 0;
    std::optional<WaitNumber> waits;
  };
  struct Waiter {
    TaskId task = 0;
    WaitNumber number = 0;
    SyscallRequest request;
  };

  const ChildProgram* program_of(const SyscallRequest& request, const GuestMemory& memory) const;
  std::optional<int64_t> failure_of(const SyscallRequest& request, const std::string& path) const;
  void leave_parent(Child& child, RunQueue& queue);
  void end(Child& child, int32_t status, Signals& signals, RunQueue& queue);
  std::string play(Child& child, InputOutput& io, Signals& signals, RunQueue& queue);
  void after_act(Child& child, InputOutput& io, RunQueue& queue);
  static bool can_act(const Child& child, InputOutput& io);
  static int descriptor(const Child& child, const ChildStep& step);
  void wake_waiters(RunQueue& queue);
  // The answer of a wait as things are; nothing: it waits.
  std::optional<SyscallAnswer> attempt_wait(const SyscallRequest& request);
  SyscallAnswer wait(const SyscallRequest& request, RunQueue& queue);
  SyscallAnswer waited_for(Child& child, const SyscallRequest& request);
  std::optional<SyscallAnswer> send(int64_t to, int32_t number, RunQueue& queue);
  static void come(Child& child, const SignalInfo& info, RunQueue& queue);
  SyscallAnswer deliver(Child& child, int32_t number, RunQueue& queue);
  Child* with_pid(int64_t pid);
  // 0: the process is.
  TaskId owner(TaskId task) const { return starting(task) ? task : 0; }
  bool selected(const Child& child, const SyscallRequest& request) const;
  std::vector<uint8_t> usage(const Child& child) const;

  std::shared_ptr<const Recording> recording_;
  int64_t own_pid_ = 0;
  std::map<TaskId, Child> children_;
  std::set<const ChildProgram*> used_;
  std::vector<Waiter> waiters_;
  std::string misdirected_;
};

}  // namespace heddle::model
