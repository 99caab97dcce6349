// Runs a task's guest code on a host thread until something needs deciding.
#pragma once

#include "machine/tracee/code_cache.h"
#include "machine/tracee/exit.h"
#include "machine/tracee/host_process.h"
#include "machine/tracee/signal_state.h"
#include "machine/tracee/task_context.h"

namespace heddle {

// An entry of the access log: an access about to be made, or a watched call.
struct LogEntry {
  uint64_t address = 0;  // of a call: the watched register's value
  Ticks ticks = 0;       // of the task that runs
  uint64_t pc = 0;
  uint32_t size = 0;  // bytes
  uint32_t kind = 0;  // AccessKind, or HEDDLE_ENTRY_CALL
};

// One host thread that runs guest code of one task at a time.
class GuestCpu {
 public:
  static constexpr Ticks kUnlimited = uint64_t{1} << 62;

  // `cache`: that of the address space, for as long as this lives; forks share it while their code
  // is the same. `thread` must be stopped. The state page is HostProcess::task_state(state_slot).
  GuestCpu(HostProcess& process, std::shared_ptr<CodeCache>& cache, HostThread thread,
           TaskId state_slot);

  HostThread& thread() { return thread_; }

  // Starts to run `context` for at most `budget` ticks (at least 1) and `points` access points.
  // Returns at once; the thread runs.
  void start(const TaskContext& context, Ticks budget = kUnlimited, uint64_t points = kUnlimited);
  // The same in a throw-away translation that leaves at `stop`, forward of the context's rip and
  // before the next tick (a tick first gives a budget exit).
  void start_exact(const TaskContext& context, translator::Stop stop);

  // Handles a change of state that wait(2) reported for the thread. Nothing: it was the machine's
  // own business and the thread runs again. Otherwise the reason; for all kinds but signal, event
  // and log_full `context` now holds the task's state.
  std::optional<Exit> stopped(int status, TaskContext& context);

  // start() and stopped() in a loop until there is an Exit.
  Exit run(TaskContext& context, Ticks budget = kUnlimited, uint64_t points = kUnlimited);
  Exit run_exact(TaskContext& context, translator::Stop stop);
  // The rest of either.
  Exit wait(TaskContext& context);

  // After a `signal` exit: lets the guest run on as it was, or (soon) to the next tick or system
  // call, whichever is first: a budget or a syscall exit. The signal is not delivered.
  void keep_running(bool soon);
  // While the thread runs fast translations: it leaves by a budget exit after HEDDLE_REFILL more
  // ticks at the latest.
  void end_soon();
  // After a `signal` exit: the thread has executed nothing since start(), so the context given
  // there is the task's state, and the signal may be delivered at once.
  bool at_start() const;
  // How many calls the runtime may serve in a run of this task from the next start() on, where it
  // records. None at first. `own_descriptors`: what the memory knows of descriptors is about the
  // task's; otherwise each is looked at when it is used.
  void grant_calls(uint64_t calls, bool own_descriptors = true) {
    calls_ = calls;
    own_descriptors_ = own_descriptors;
  }
  // The same for calls on the task's signals, of which this is what it has now; nothing: the
  // supervisor makes them.
  void grant_signals(const std::optional<TaskSignals>& now) { signals_ = now; }
  // After point and hook exits: go on from just there without leaving at the same point again.
  void resume_here(Ticks budget, uint64_t points = kUnlimited);
  // After log_full: the log's contents were taken.
  void resume_after_log();
  // Analysis mode: what was logged since the last call, oldest first. Thread stopped.
  std::vector<LogEntry> drain_log();

  // Has the thread execute a real system call: starts it. When the thread stops with rip at
  // HostProcess::kAfterSyscall + 1 (SIGTRAP) it is done, and rax is the result.
  void start_syscall(const TaskContext& context, uint64_t number,
                     const std::array<uint64_t, 6>& arguments);

  static user_regs_struct to_host(const Registers& registers, const user_regs_struct& base);
  Registers to_guest(const user_regs_struct& regs) const;

  // The code of this address space is about to be its own: a cache that is shared with forks is
  // copied. The thread is stopped.
  void own_code();
  // The guest is about to write to [start, start+size), or the kernel on its behalf: where that is
  // watched code it may, and the translations go. The thread is stopped. Whether any was.
  bool let_write(uint64_t start, uint64_t size);

 private:
  heddle_task_state load_state() const;
  heddle_task_state take_state();
  heddle_hot_state& hot() const;
  uint64_t enter(uint64_t pc, const user_regs_struct& regs);
  std::optional<uint64_t> go_on(const translator::ExitSite& site, user_regs_struct& regs);
  bool retreat();
  // The code that `enter` of the cache gives, watched for changes.
  template <typename Enter>
  auto code(Enter enter);
  void store_state(const TaskContext& context, Ticks budget, uint64_t points);

  void collect_log(heddle_task_state& state);

  HostProcess& process_;
  std::shared_ptr<CodeCache>& cache_;
  HostThread thread_;
  uint64_t state_;
  user_regs_struct base_{};  // of the last stop: what no guest register is in
  // The state page's contents, from an exit until the thread goes on.
  std::optional<heddle_task_state> known_state_;
  uint64_t calls_ = 0;
  bool own_descriptors_ = true;
  std::optional<TaskSignals> signals_;
  uint64_t started_at_ = 0;  // host address, and the task's ticks then
  int64_t started_ticks_ = 0;
  std::optional<translator::Stop> exact_;  // of the throw-away translation that runs
  std::vector<LogEntry> logged_;           // taken out of the tracee, but not drained yet
};

}  // namespace heddle
