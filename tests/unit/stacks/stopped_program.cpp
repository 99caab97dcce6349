#include "tests/unit/stacks/stopped_program.h"

#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <system_error>

namespace heddle::testing {
namespace {

void check(long result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
}

pid_t start(const std::string& path, const std::vector<std::string>& arguments) {
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    personality(ADDR_NO_RANDOMIZE);
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    execv(path.c_str(), argv.data());
    _exit(127);
  }
  int status = 0;
  check(waitpid(pid, &status, 0), "waitpid");
  if (!WIFSTOPPED(status)) throw std::runtime_error("cannot execute " + path);
  check(ptrace(PTRACE_SETOPTIONS, pid, 0,
               PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD),
        "PTRACE_SETOPTIONS");
  return pid;
}

Registers registers_of(pid_t thread) {
  user_regs_struct r;
  check(ptrace(PTRACE_GETREGS, thread, 0, &r), "PTRACE_GETREGS");
  Registers out;
  out.values = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,    r.r8,     r.r9,
                r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip, r.eflags, r.fs_base};
  // At a system call the kernel has rax elsewhere.
  if (r.orig_rax != ~0ull) out[Register::rax] = r.orig_rax;
  return out;
}

}  // namespace

StoppedProgram::StoppedProgram(const std::string& path, const std::vector<std::string>& arguments)
    : pid_(start(path, arguments)), stopped_(pid_), memory_(pid_) {}

StoppedProgram::~StoppedProgram() {
  kill(pid_, SIGKILL);
  int status = 0;
  while (waitpid(-1, &status, __WALL) > 0 || errno == EINTR) {
  }
}

void StoppedProgram::set_breakpoint(uint64_t address) {
  breakpoints_[address] = memory_.load<uint8_t>(address).value();
  memory_.store(address, uint8_t{0xcc});
}

void StoppedProgram::remove_breakpoint() {
  const uint64_t at = registers_[Register::rip];
  memory_.store(at, breakpoints_.at(at));
  breakpoints_.erase(at);
  user_regs_struct r;
  check(ptrace(PTRACE_GETREGS, stopped_, 0, &r), "PTRACE_GETREGS");
  r.rip = at;
  check(ptrace(PTRACE_SETREGS, stopped_, 0, &r), "PTRACE_SETREGS");
}

void StoppedProgram::step() {
  int status = 0;
  check(ptrace(PTRACE_SINGLESTEP, stopped_, 0, 0), "PTRACE_SINGLESTEP");
  check(waitpid(stopped_, &status, __WALL), "waitpid");
  if (!WIFSTOPPED(status)) throw std::runtime_error("the program ended in a step");
  registers_ = registers_of(stopped_);
}

void StoppedProgram::resume(pid_t thread, int signal) {
  ptrace(stop_at_syscalls_ ? PTRACE_SYSCALL : PTRACE_CONT, thread, 0, signal);
}

void StoppedProgram::run(const std::function<bool(int)>& at_signal,
                         const std::function<bool(const Registers&)>* at_syscall) {
  stop_at_syscalls_ = at_syscall != nullptr;
  resume(stopped_, 0);
  for (;;) {
    int status = 0;
    const pid_t thread = waitpid(-1, &status, __WALL);
    check(thread, "waitpid");
    if (!WIFSTOPPED(status)) {
      if (thread == pid_) throw std::runtime_error("the program ended before the stop");
      continue;
    }
    const int signal = WSTOPSIG(status);
    stopped_ = thread;
    if (signal == (SIGTRAP | 0x80)) {
      const bool entry = in_syscall_.insert(thread).second;
      if (!entry) in_syscall_.erase(thread);
      if (entry && at_syscall) {
        registers_ = registers_of(thread);
        if ((*at_syscall)(registers_)) return;
      }
      resume(thread, 0);
    } else if (status >> 16 != 0 || signal == SIGSTOP) {
      resume(thread, 0);  // a thread began
    } else if (at_signal(signal)) {
      registers_ = registers_of(thread);
      const uint64_t before = registers_[Register::rip] - 1;
      if (signal == SIGTRAP && breakpoints_.contains(before)) registers_[Register::rip] = before;
      return;
    } else {
      resume(thread, signal);
    }
  }
}

void StoppedProgram::run_to_breakpoint() {
  run([](int signal) { return signal == SIGTRAP; }, nullptr);
}

void StoppedProgram::run_to_signal(int number) {
  run([=](int signal) { return signal == number; }, nullptr);
}

void StoppedProgram::run_to_syscall(const std::function<bool(const Registers&)>& wanted) {
  run([](int) { return false; }, &wanted);
}

std::vector<Module> StoppedProgram::modules() const {
  std::vector<Module> modules;
  for (const auto& mapping : read_maps(pid_))
    if (mapping.offset == 0 && mapping.path.starts_with("/"))
      modules.push_back({mapping.start, mapping.path});
  return modules;
}

}  // namespace heddle::testing
