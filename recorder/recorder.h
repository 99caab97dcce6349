// Runs a program and all that it starts, and writes their trace. One supervisor thread; the
// program's threads are real, and only the one that holds the run token executes translated code.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "machine/tracee/cpu_features.h"
#include "machine/tracee/extended_state.h"
#include "machine/tracee/signal_delivery.h"
#include "machine/tracee/syscall_log.h"
#include "recorder/recorded_process.h"
#include "trace_format/writer.h"

namespace heddle {

struct RecordOptions {
  enum class Follow : uint8_t {
    none,      // the first process only; others are let go at once, or at their execve
    children,  // all of them
    filtered,  // all whose program matches one of `followed`; others are let go at their execve
  };
  enum class OnFailure : uint8_t { let_go, stop };

  CpuFeatures cpu_features = CpuFeatures::avx;
  std::filesystem::path shared_files;  // see TraceWriter
  std::filesystem::path translations;  // directory of saved translations; empty: none
  Ticks hash_every = 0;                // ticks of a task between two StateHash events; 0: none
  Follow follow = Follow::children;
  // Patterns of fnmatch(3): of the whole path with a slash in it, otherwise of its last part.
  std::vector<std::string> followed;
  uint64_t max_bytes = 0;  // of events as they are stored; 0: any number
  uint64_t max_ns = 0;     // of time; 0: any
  bool wait = true;        // for all processes, or only for the first
  // The trace cannot be written: does the program go on without, or end?
  OnFailure on_failure = OnFailure::let_go;
};

class Recorder {
 public:
  // Throws ExecFailed where the program cannot be executed.
  Recorder(const Program& program, const std::filesystem::path& trace_directory,
           const RecordOptions& options = {});
  ~Recorder();

  // Runs until the last process of the tree has ended or been let go; returns wait(2)'s status word
  // of the first, which is waited for in any case.
  int run();

  // From a signal handler: the recording is to end and the program to go on without it, or a signal
  // is to be passed on to its first process. Interrupts run() if that waits; see record.cpp.
  void ask_to_stop() { asked_to_stop_ = true; }
  void pass_on(int signal) { to_pass_on_ = signal; }
  // Is there something to be done that run() may be asleep over? Also from a signal handler.
  bool needs_waking() const;

  uint64_t events() const { return trace_.events(); }
  uint64_t bytes() const { return trace_.bytes(); }
  // How often a thread of the program stopped for the supervisor, and how many system calls did
  // without.
  uint64_t stops() const { return stops_; }
  // The calls that the supervisor had to make, those that it made most first, at most `limit`.
  std::vector<std::pair<std::string, uint64_t>> stopped_calls(size_t limit) const;
  uint64_t logged_calls() const { return drained_ + log_->count(); }
  Ticks ticks() const;  // of all tasks together, those that have ended too
  // Why a replay may differ: the first reason; and all, with the first event of each.
  const std::optional<std::string>& tainted() const { return tainted_; }
  const std::map<std::string, uint64_t>& taints() const { return taints_; }
  // Why the whole program was let go, if it was.
  const std::optional<std::string>& released() const { return released_; }
  // wait(2)'s status words of all processes that ended, in that order.
  const std::vector<int>& endings() const { return endings_; }
  // Nothing that happened after it is in the trace.
  const std::optional<std::string>& failure() const { return trace_.failure(); }

 private:
  using Task = RecordedTask;
  using State = RecordedTask::State;
  using Call = RecordedCall;
  using Process = RecordedProcess;
  using Space = RecordedSpace;

  // recorder.cpp
  Task& task_of(pid_t tid);
  Task* next_ready();
  void run_slice(Task& task);
  int wait_for(Task& task, bool& alone);
  void wait_in_kernel();
  void take_completed_calls();
  void take_report(Task& task, int status);
  // Does its thread report by itself when it can go on?
  static bool waits(const Task& task) {
    return task.state == State::in_kernel || task.state == State::stopped;
  }
  Event& append(const Task& task, EventBody body, const Registers* registers = nullptr);
  void hash_state(Task& task);
  void drain();
  void pass_log_on(Task& task);
  uint64_t now_ns() const;
  void bury(Task& task);

  // recorded_syscalls.cpp
  // `waits`: it has been tried, and would wait.
  void syscall(Task& task, bool waits);
  void start_call(Task& task, const Syscall& entry, const SyscallArguments& arguments, bool waits);
  void let_kernel_write(Task& task, const Call& call);
  bool call_stopped(Task& task, int status);  // true: the call is complete
  void write_call(Task& task);
  void virtual_call(Task& task, const Syscall& entry, const SyscallArguments& arguments);
  void interrupt(Task& task, int signal, bool ends_calls, user_regs_struct& regs);
  void redirect(Task& task, Call& call);
  std::optional<uint64_t> scratch(Task& task, uint64_t size);
  std::vector<MemoryEffect> effects_of(Task& task, Call& call);
  void code_changed(Task& task, uint64_t start, uint64_t size, bool executable);
  void mapping_changed(Task& task, uint64_t start, uint64_t size, bool executable);

  // recorded_mappings.cpp; a text says why the trace is tainted
  void follow_image(Task& task, const event::Exec& image);
  std::string follow_mapping(Task& task, const Call& call, event::Syscall& e);
  std::string map_file(Task& task, const Call& call, event::Syscall& e);
  std::string attach_segment(Task& task, const Call& call, event::Syscall& e);
  std::string follow_file(Task& task, const Call& call, event::Syscall& e);
  void taint(const Task& task, const std::string& reason);
  std::set<const Space*> spaces() const;
  std::set<pid_t> tree() const;  // processes

  // served_descriptors.cpp
  void share_descriptors(Process& parent, Process& child, const CloneArguments& wanted);
  void follow_descriptors(Task& task, const event::Syscall& e);
  void serve_writes(Task& task, const event::Syscall& e);
  void stop_writes();

  // recorded_processes.cpp
  void clone(Task& task, const SyscallArguments& arguments);
  void execve(Task& task, const Syscall& entry, const SyscallArguments& arguments);
  void exit_task(Task& task);
  // The process of `task` ends: by exit_group, or by a fatal signal if that is not 0.
  void end_process(Task& task, int status, int fatal_signal);
  // It has ended, by itself or killed from outside; `status` is wait(2)'s of its first thread, if
  // that has been taken.
  void process_gone(Task& task, std::optional<int> status);
  std::optional<int> reap(const Process& process, int signal);
  std::shared_ptr<Space> new_space(HostProcess process, bool recorded = true);
  bool follows(const Process& process, const std::string& program) const;
  void released_at_execve(Task& task, const std::string& program);
  std::vector<Task*> tasks_of(const Process& process);

  // released_processes.cpp
  std::optional<std::string> reason_to_stop() const;
  bool root_ended() const;
  bool release_all(const std::string& reason);
  void recall(Task& task);
  void release(Process& process, const std::string& reason);
  void release_process(Process& process, const std::vector<Task*>& members);
  int wait_natively();
  void pass_on_signals();

  // stopped_processes.cpp
  void stop(Task& task, int signal);
  void park(Task& task);
  bool halt(Task& task, int signal);
  bool woken(Task& task, int status);
  bool is_continued(Task& task);

  // recorded_signals.cpp
  void deliver_pending(Task& task);
  void fault(Task& task, const siginfo_t& info);
  void force(Task& task, int signal);
  void give_action(Task& task, int signal);
  bool handle(Task& task, const SignalInfo& info, bool synchronous);
  void end_by(Task& task, const SignalInfo& info, bool synchronous);
  void restore_mask(Task& task);
  void mirror_mask(Task& task);
  void follow_served_signals();
  static std::optional<TaskSignals> signals_to_serve(const Task& task);
  void post(Task& task, const siginfo_t& info);
  std::optional<SignalInfo> take_signal(Task& task);

  RecordOptions options_;
  std::optional<Launch> launch_;  // until the first program is executed
  const std::vector<event::CpuidEntry> cpuid_answers_ = startup_answers(options_.cpu_features);
  TraceWriter trace_;
  std::unique_ptr<SyscallLog> log_;
  pid_t root_ = 0;
  std::map<TaskId, std::unique_ptr<Task>> tasks_;
  std::map<pid_t, TaskId> by_tid_;
  std::deque<TaskId> ready_;
  std::vector<std::unique_ptr<Task>> ended_tasks_;  // while somebody may hold a reference
  TaskId last_task_ = 1;
  SharedNumbers shared_;
  std::optional<std::string> tainted_;
  Ticks ended_ticks_ = 0;  // of tasks that are over
  std::map<std::string, uint64_t> taints_;
  bool ended_ = false;
  std::optional<std::string> released_;
  bool root_released_ = false;
  std::vector<int> endings_;
  std::atomic<bool> asked_to_stop_ = false;
  std::atomic<int> to_pass_on_ = 0;
  std::atomic<bool> let_go_ = false;  // released_, for a signal handler
  int status_ = 0;
  uint64_t stops_ = 0;
  std::map<uint64_t, uint64_t> stopped_calls_;  // how often, by number
  uint64_t drained_ = 0;                        // calls of the log that are events of the trace
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace heddle
