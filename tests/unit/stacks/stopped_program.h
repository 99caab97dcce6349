// A program that a test runs natively up to a breakpoint, a signal or a system call.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "machine/stacks/module.h"
#include "machine/tracee/process_memory.h"
#include "trace_format/registers.h"

namespace heddle::testing {

// All of its threads are traced; it dies with this object. A failed ptrace call throws
// std::system_error, an end of the program before the stop std::runtime_error.
class StoppedProgram {
 public:
  // Starts it, stopped before its first instruction.
  StoppedProgram(const std::string& path, const std::vector<std::string>& arguments);
  ~StoppedProgram();
  StoppedProgram(const StoppedProgram&) = delete;
  StoppedProgram& operator=(const StoppedProgram&) = delete;

  // Runs until a thread executes int3, its own or one that set_breakpoint() put there.
  void run_to_breakpoint();
  // Runs until a thread is about to take this signal. Others are delivered.
  void run_to_signal(int number);
  // Runs until a thread is about to do a system call for which this holds.
  void run_to_syscall(const std::function<bool(const Registers&)>& wanted);

  // Executes one instruction of the thread that stopped.
  void step();

  void set_breakpoint(uint64_t address);
  // Puts back what the breakpoint at the stop replaced.
  void remove_breakpoint();

  // Of the thread that stopped. Behind the program's own int3, at the address of ours.
  const Registers& registers() const { return registers_; }
  ProcessMemory& memory() { return memory_; }
  std::vector<Module> modules() const;

 private:
  void run(const std::function<bool(int signal)>& at_signal,
           const std::function<bool(const Registers&)>* at_syscall);
  void resume(pid_t thread, int signal);

  pid_t pid_;
  pid_t stopped_;
  bool stop_at_syscalls_ = false;
  std::set<pid_t> in_syscall_;
  std::map<uint64_t, uint8_t> breakpoints_;  // to the byte that was there
  Registers registers_;
  ProcessMemory memory_;
};

}  // namespace heddle::testing
