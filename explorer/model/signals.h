// Signals: who gets them, and which waiting calls they end.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "explorer/model/recording.h"
#include "explorer/model/run_queue.h"
#include "machine/tracee/signal_state.h"

namespace heddle::model {

// A value. Signals between the program's own tasks are modelled. Those that the outside sent in the
// recorded run come at the same virtual time, or when nobody can run without them.
//
// A signal to the process goes to the first task if that does not block it, else to the first that
// does not; one that nobody takes yet is left for whoever unblocks it or waits for it.
class Signals {
 public:
  explicit Signals(const Recording& recording);

  void add_task(TaskId child, TaskId parent);
  void remove_task(TaskId task);
  bool has(TaskId task) const { return tasks_.contains(task); }
  bool empty() const { return tasks_.empty(); }
  SignalState& state() { return state_; }
  const SignalState& state() const { return state_; }

  // Nothing for a call that is not about signals, or is about another process's.
  std::optional<SyscallAnswer> call(const SyscallRequest& request, const GuestMemory& memory,
                                    const std::map<TaskId, int64_t>& tids, RunQueue& queue);
  // Task 0: to the process.
  void post(TaskId task, const SignalInfo& info, RunQueue& queue);
  // Of the kernel's making: SIGPIPE, SIGALRM.
  void post(TaskId task, int32_t number, int32_t code, RunQueue& queue);

  // The mask that comes back when the handler that ended rt_sigsuspend returns.
  std::optional<uint64_t> take_saved_mask(TaskId task);

  // Another signal of the outside, which comes when it is placed, and only while it is handled.
  void expect(int32_t number);
  // When the next signal of the outside is due; kNever: none. Posts all that are due.
  uint64_t next_outside() const { return outside_.empty() ? kNever : outside_.front().due; }
  void post_due(RunQueue& queue);
  // The numbers of those that are to come; and the first of one number coming now, to `task`.
  // False: there is none.
  std::vector<int32_t> outside() const;
  bool place(int32_t number, TaskId task, RunQueue& queue);

 private:
  struct Due {
    uint64_t due = 0;  // ns of virtual time; kNever: when it is placed
    SignalInfo info;
  };
  struct Awaited {
    WaitNumber number = 0;
    uint64_t set = 0;
    uint64_t info_at = 0;  // where siginfo_t goes; 0: nowhere
  };
  SyscallAnswer send(const SyscallRequest& request, TaskId task, const GuestMemory& memory,
                     int64_t own_pid, RunQueue& queue);
  SyscallAnswer wait_for(const SyscallRequest& request, const GuestMemory& memory, RunQueue& queue);
  SyscallAnswer suspend(const SyscallRequest& request, const GuestMemory& memory, RunQueue& queue);
  SyscallAnswer pending(const SyscallRequest& request);
  std::optional<SignalInfo> take_of(TaskId task, uint64_t set);
  bool blocks(TaskId task, int32_t number) const;
  bool awaits(TaskId task, int32_t number, const RunQueue& queue) const;
  static SyscallAnswer received(const SignalInfo& info, uint64_t info_at);

  SignalState state_;
  std::set<TaskId> tasks_;
  std::map<TaskId, uint64_t> saved_masks_;
  std::map<TaskId, Awaited> awaited_;  // by tasks in rt_sigtimedwait; also ended waits
  std::deque<Due> outside_;
};

}  // namespace heddle::model
