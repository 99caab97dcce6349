// Runs a program and writes its trace. One supervisor thread; the program's threads are real, and
// only the one that holds the run token executes translated code.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "machine/syscalls/redirection.h"
#include "machine/tracee/extended_state.h"
#include "machine/tracee/guest_cpu.h"
#include "machine/tracee/signal_frame.h"
#include "machine/tracee/syscall_log.h"
#include "recorder/mapped_files.h"
#include "trace_format/writer.h"

namespace heddle {

struct RecordOptions {
  Ticks hash_every = 0;  // ticks of a task between two StateHash events; 0: none
};

class Recorder {
 public:
  // Throws ExecFailed where the program cannot be executed.
  Recorder(const Program& program, const std::filesystem::path& trace_directory,
           const RecordOptions& options = {});
  ~Recorder();

  // Runs the program to its end; returns wait(2)'s status word of it.
  int run();

  uint64_t events() const { return trace_.events(); }
  uint64_t bytes() const { return trace_.bytes(); }
  // What was not captured, and from which event on.
  const std::map<std::string, uint64_t>& taints() const { return taints_; }
  // How often a thread of the program stopped for the supervisor, and how many system calls did
  // without.
  uint64_t stops() const { return stops_; }
  uint64_t logged_calls() const { return drained_ + log_->entries().size(); }

 private:
  // A system call that the kernel is executing for a task.
  struct Call {
    SyscallArguments arguments{};  // the guest's
    SyscallArguments actual{};     // what the kernel was given
    std::optional<Redirection> redirection;
    SyscallInputs inputs;
    Registers before;
    const Syscall* entry = nullptr;
    int64_t result = 0;
    bool interrupted = false;  // ended by us for a signal; result is the kernel's -ERESTART*
  };
  enum class State : uint8_t { ready, in_kernel, done };
  struct Task {
    TaskId id = 0;
    std::unique_ptr<GuestCpu> cpu;
    TaskContext context;
    State state = State::ready;
    std::optional<Call> call;  // in_kernel: under way; ready: complete but not yet written
    uint64_t clear_tid = 0;
    Ticks next_hash = 0;
    std::optional<uint64_t> saved_mask;  // rt_sigsuspend: what its handler's return restores
  };

  // recorder.cpp
  Task& task_of(pid_t tid);
  Task* next_ready();
  void run_slice(Task& task);
  void wait_in_kernel();
  Event& append(const Task& task, EventBody body, const Registers* registers = nullptr);
  void hash_state(Task& task);
  void drain();
  uint64_t now_ns() const;
  void end_process(Task& task, int status, int fatal_signal);

  // recorded_syscalls.cpp
  void syscall(Task& task);
  void start_call(Task& task, const Syscall& entry, const SyscallArguments& arguments);
  void redirect(Task& task, Call& call);
  bool call_stopped(Task& task, int status);  // true: the call is complete
  std::vector<MemoryEffect> effects_of(const Call& call);
  void write_call(Task& task);
  void clone(Task& task, const SyscallArguments& arguments);
  void exit_task(Task& task);
  void virtual_call(Task& task, const Syscall& entry, const SyscallArguments& arguments);
  void return_from(Task& task, int64_t result);

  // recorded_mappings.cpp; a text says why the trace is tainted
  std::string descriptor_path(int descriptor) const;
  bool is_regular_file(int descriptor) const;
  void follow_image(const event::Exec& image);
  void taint(const Task& task, const std::string& reason);
  std::string follow_mapping(const Call& call, event::Syscall& e);
  std::string map_file(const Call& call, event::Syscall& e);
  std::string attach_segment(const Call& call, event::Syscall& e);
  void follow_file(const Call& call, event::Syscall& e);

  // recorded_signals.cpp
  void deliver_pending(Task& task);
  void fault(Task& task, const siginfo_t& info);
  bool push_frame(Task& task, const SignalInfo& info);
  void mirror_mask(Task& task);
  void post(Task& task, const siginfo_t& info);

  RecordOptions options_;
  TraceWriter trace_;
  HostProcess process_;
  std::unique_ptr<SyscallLog> log_;
  std::unique_ptr<CodeCache> cache_;
  SignalState signals_;
  MappedFiles files_;
  std::map<std::string, uint64_t> taints_;
  std::map<TaskId, std::unique_ptr<Task>> tasks_;
  std::map<pid_t, TaskId> by_tid_;
  std::deque<TaskId> ready_;
  TaskId last_task_ = 1;
  bool ended_ = false;
  int status_ = 0;
  uint64_t stops_ = 0;
  uint64_t drained_ = 0;  // calls of the log that are events of the trace
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace heddle
