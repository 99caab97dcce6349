// Starting a program under ptrace.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "machine/tracee/host_thread.h"
#include "machine/tracee/process_memory.h"
#include "machine/tracee/shared_code.h"

namespace heddle {

// The program could not be executed. `error` is the errno of execve.
class ExecFailed : public std::runtime_error {
 public:
  ExecFailed(const std::string& what, int code) : std::runtime_error(what), error(code) {}
  int error;
};

struct Program {
  std::string path;
  std::vector<std::string> arguments;    // argv, the name included
  std::vector<std::string> environment;  // NAME=VALUE
  std::string working_directory;         // empty: the supervisor's
  std::vector<int> ignored_signals{};    // with SIG_IGN from its beginning, besides inherited ones
};

// A program that the kernel is about to execute with ADDR_NO_RANDOMIZE. Ends it, until taken.
class Launch {
 public:
  // `executable`: a descriptor to execute, or -1 for the program's path. Throws std::system_error
  // where ptrace is refused.
  explicit Launch(const Program& program, int executable = -1);
  Launch(Launch&& other) noexcept;
  ~Launch();
  Launch& operator=(Launch&&) = delete;

  // Waits for PTRACE_EVENT_EXEC; the thread, stopped there, is the caller's. Throws ExecFailed.
  HostThread take();

  // Translated code's memory, and its descriptor in the process.
  const std::shared_ptr<SharedCode>& code() const { return code_; }
  uint64_t shared() const { return shared_; }

 private:
  Launch() = default;
  std::string path_;
  HostThread thread_;
  int report_ = -1;  // where the child writes why it cannot be executed
  uint64_t shared_ = 0;
  std::shared_ptr<SharedCode> code_;
};

// Takes a thread from PTRACE_EVENT_EXEC to the program's entry point, nothing executed. Throws
// ExecFailed.
void leave_execve(HostThread& thread, ProcessMemory& memory);

// Ends a child, or another tracee, at once and reaps it.
void end_process(pid_t pid);

}  // namespace heddle
