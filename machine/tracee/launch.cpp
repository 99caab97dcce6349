#include "machine/tracee/launch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

namespace heddle {
namespace {

constexpr unsigned long kOptions = PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                                   PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// The child's half of a launch: waits to be seized, then becomes the program.
// `shared` goes with it.
[[noreturn]] void become(const Program& program, int executable, int go, int report, int shared) {
  char byte;
  if (read(go, &byte, 1) != 1 || fcntl(shared, F_SETFD, 0) != 0) _exit(125);
  for (const int ignored : program.ignored_signals) std::signal(ignored, SIG_IGN);
  personality(ADDR_NO_RANDOMIZE | static_cast<unsigned long>(personality(0xffffffff)));
  int error = 0;
  if (!program.working_directory.empty() && chdir(program.working_directory.c_str()) != 0) {
    error = errno;
  } else {
    const auto argv = pointers(program.arguments);
    const auto envp = pointers(program.environment);
    if (executable >= 0)
      fexecve(executable, argv.data(), envp.data());
    else
      execve(program.path.c_str(), argv.data(), envp.data());
    error = errno;
  }
  if (write(report, &error, sizeof error) != sizeof error) _exit(125);
  _exit(127);
}

}  // namespace

Launch::Launch(Launch&& other) noexcept
    : path_(std::move(other.path_)),
      thread_(std::exchange(other.thread_, HostThread())),
      report_(std::exchange(other.report_, -1)),
      shared_(other.shared_),
      code_(std::move(other.code_)) {}

Launch::~Launch() {
  if (report_ >= 0) close(report_);
  if (thread_.tid() == 0) return;
  end_process(thread_.tid());
}

// Seizes the child and lets it go. What can be done meanwhile is.
Launch::Launch(const Program& program, int executable) : Launch() {
  int go[2], report[2];
  if (pipe2(go, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0) fail("pipe");
  const int shared = memfd_create("heddle-code", MFD_CLOEXEC);
  if (shared < 0) fail("memfd_create");
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    close(go[1]);
    become(program, executable, go[0], report[1], shared);
  }
  close(go[0]);
  close(report[1]);
  path_ = program.path;
  thread_ = HostThread(pid);
  report_ = report[0];
  shared_ = static_cast<uint64_t>(shared);
  if (ptrace(PTRACE_SEIZE, pid, nullptr, kOptions) != 0) {
    const int error = errno;
    close(go[1]);
    close(shared);
    errno = error;
    fail("ptrace is refused here (see heddle doctor)");
  }
  if (write(go[1], "", 1) != 1) fail("starting the program");
  close(go[1]);
  code_ = std::make_shared<SharedCode>();
  code_->map(shared);
  close(shared);
}

HostThread Launch::take() {
  while (true) {
    const int status = thread_.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      thread_ = HostThread();
      int error = ENOENT;
      if (read(report_, &error, sizeof error) != sizeof error)
        throw ExecFailed(path_ + ": ended before it was executed", ENOEXEC);
      throw ExecFailed(path_ + ": " + std::strerror(error), error);
    }
    if (stop_event(status) == PTRACE_EVENT_EXEC) break;
    thread_.resume(stop_event(status) == 0 ? WSTOPSIG(status) : 0);
  }
  return std::exchange(thread_, HostThread());
}

// The stop at PTRACE_EVENT_EXEC is inside the system call, which is still to write its result to
// rax. A breakpoint at the entry point gets the thread out of it, with registers that are ours to
// set.
void leave_execve(HostThread& thread, ProcessMemory& memory) {
  const uint64_t entry = thread.registers().rip;
  const auto original = memory.load<uint8_t>(entry);
  if (!original) throw std::runtime_error("the program's entry point is not mapped");
  memory.store<uint8_t>(entry, 0xcc);
  while (true) {
    thread.resume();
    const int status = thread.wait();
    if (WIFEXITED(status) || WIFSIGNALED(status))
      throw ExecFailed("the program ended at its first instruction", ENOEXEC);
    if (is_signal_stop(status, SIGTRAP) && thread.registers().rip == entry + 1) break;
  }
  memory.store<uint8_t>(entry, *original);
  auto regs = thread.registers();
  regs.rip = entry;
  thread.set_registers(regs);
}

void end_process(pid_t pid) {
  ::kill(pid, SIGKILL);
  int status = 0;
  while (true) {
    const pid_t got = waitpid(pid, &status, __WALL);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || WIFEXITED(status) || WIFSIGNALED(status)) break;
    ptrace(PTRACE_CONT, pid, nullptr, 0);
  }
}

}  // namespace heddle
