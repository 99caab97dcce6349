#include "cli/doctor_checks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <stdexcept>

#include "cli/catalog_location.h"
#include "cli/trace_location.h"
#include "explorer/report/style.h"
#include "machine/tracee/host_process.h"

namespace heddle::cli {
namespace {

using namespace std::string_literals;

constexpr uint64_t kLeastFree = 256 << 20;  // bytes; a trace of a busy minute
constexpr const char* kContainer =
    "in a container, start it with --cap-add=SYS_PTRACE --security-opt seccomp=unconfined";

// A check that failed, and what to do about it.
class Refused : public std::runtime_error {
 public:
  Refused(const std::string& found, std::string what_to_do)
      : std::runtime_error(found), advice(std::move(what_to_do)) {}
  std::string advice;
};

std::string first_line(const char* path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string status_field(const std::string& name) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name + ":"))
      return line.substr(line.find_first_not_of(": \t", name.size()));
  return {};
}

using Clock = std::chrono::steady_clock;

std::string since(Clock::time_point begun) {
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun);
  return std::to_string(took.count()) + " us";
}

// A child that does what it is told and is gone with this object.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : pid_(fork()) {
    if (pid_ == 0) _exit(body());
    if (pid_ < 0) throw Refused(std::strerror(errno), "raise the limit on processes (ulimit -u)");
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, __WALL);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, __WALL) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) || WIFSIGNALED(status)) pid_ = 0;
    return status;
  }

 private:
  pid_t pid_;
};

std::string yama() {
  const std::string scope = first_line("/proc/sys/kernel/yama/ptrace_scope");
  if (scope.empty()) return "no Yama restriction";
  if (scope == "0" || scope == "1") return "ptrace_scope " + scope + ": children may be traced";
  if (scope == "2" && geteuid() == 0) return "ptrace_scope 2: root may trace";
  throw Refused("ptrace_scope " + scope + ": processes may not be traced",
                scope == "3" ? "boot without kernel.yama.ptrace_scope=3"
                             : "sysctl kernel.yama.ptrace_scope=1, as root");
}

std::string trace_a_child() {
  Child child([] {
    while (true) usleep(1000);
    return 0;
  });
  if (ptrace(PTRACE_SEIZE, child.pid(), nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0) {
    const std::string why = std::strerror(errno);
    const bool filtered = status_field("Seccomp") == "2";
    throw Refused("PTRACE_SEIZE of a child: " + why + (filtered ? ", under a seccomp filter" : ""),
                  kContainer);
  }
  ptrace(PTRACE_INTERRUPT, child.pid(), nullptr, nullptr);
  const auto begun = Clock::now();
  int stops = 0;
  for (; stops < 100; ++stops) {
    const int status = child.wait();
    if (!WIFSTOPPED(status)) throw Refused("the traced child ended", "report this as a bug");
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) break;
    if (ptrace(PTRACE_SYSCALL, child.pid(), nullptr, nullptr) != 0)
      throw Refused(std::string("PTRACE_SYSCALL: ") + std::strerror(errno), kContainer);
  }
  if (stops == 100) throw Refused("no system call stop in 100 stops", "report this as a bug");
  return "a child was seized and stopped at a system call, in " + since(begun);
}

std::string personality_of_a_child() {
  Child child([] {
    const auto now = static_cast<unsigned long>(personality(0xffffffff));
    if (personality(now | ADDR_NO_RANDOMIZE) < 0) return errno;
    return (personality(0xffffffff) & ADDR_NO_RANDOMIZE) != 0 ? 0 : EINVAL;
  });
  const int status = child.wait();
  if (WEXITSTATUS(status) != 0 || WIFSIGNALED(status))
    return std::string("personality(ADDR_NO_RANDOMIZE): ") +
           (WIFSIGNALED(status) ? "killed" : std::strerror(WEXITSTATUS(status))) +
           "; programs are moved to addresses that are not random instead";
  return "ADDR_NO_RANDOMIZE was set";
}

// Code written through one mapping of a memfd and executed through another, as the code cache is.
std::string execute_from_memfd() {
  const auto refuse = [](const std::string& what) -> std::string {
    const std::string why = std::strerror(errno);
    throw Refused(
        what + ": " + why,
        first_line("/proc/sys/vm/memfd_noexec") == "2"
            ? "sysctl vm.memfd_noexec=1, as root"
            : "allow executable shared memory (SELinux execmem, seccomp): "s + kContainer);
  };
  const int fd = memfd_create("heddle-doctor", MFD_CLOEXEC);
  if (fd < 0) return refuse("memfd_create");
  const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) return refuse("sizing a memfd");
  void* writable = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  void* executable = mmap(nullptr, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  close(fd);
  if (writable == MAP_FAILED || executable == MAP_FAILED) return refuse("mapping a memfd");
  constexpr uint8_t kReturn42[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov eax, 42; ret
  std::memcpy(writable, kReturn42, sizeof kReturn42);
  const int got = reinterpret_cast<int (*)()>(executable)();
  munmap(writable, size);
  munmap(executable, size);
  if (got != 42) throw Refused("code in a memfd returned something else", "report this as a bug");
  return "code written through one mapping ran through another";
}

// The process is killed whatever happens to it.
std::string with(HostProcess process, const std::function<std::string(HostProcess&)>& act) {
  try {
    std::string found = act(process);
    process.kill();
    return found;
  } catch (const std::exception& error) {
    process.kill();
    throw Refused(error.what(), kContainer);
  }
}

// A program of the usual kind, position independent and dynamically linked, with all that heddle
// puts beside it.
std::string place_memory() {
  Program program;
  program.path = "/proc/self/exe";
  program.arguments = {"heddle", "--version"};
  return with(HostProcess::start(program), [](HostProcess& process) -> std::string {
    process.install();
    char text[96];
    std::snprintf(text, sizeof text, "0x%llx to 0x%llx and the code arenas are free",
                  static_cast<unsigned long long>(layout::kFixed.start),
                  static_cast<unsigned long long>(layout::kFixed.end()));
    return text;
  });
}

std::string fork_a_checkpoint() {
  return with(HostProcess::start_empty(), [](HostProcess& process) -> std::string {
    const auto begun = Clock::now();
    HostProcess copy = process.fork_checkpoint();
    copy.kill();
    return "forked from outside and ended, in " + since(begun);
  });
}

std::string write_to_store() {
  const auto store = trace_store();
  const std::string elsewhere = "make it writable, or set HEDDLE_TRACE_DIR to another directory";
  std::error_code error;
  std::filesystem::create_directories(store, error);
  if (error) throw Refused(store.string() + ": " + error.message(), elsewhere);
  std::string name = (store / ".doctor-XXXXXX").string();
  const int fd = mkstemp(name.data());
  if (fd < 0) throw Refused(store.string() + ": " + std::strerror(errno), elsewhere);
  const std::vector<char> bytes(1 << 20, 'h');
  const bool written =
      write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && fsync(fd) == 0;
  const std::string why = std::strerror(errno);
  close(fd);
  unlink(name.c_str());
  if (!written) throw Refused(store.string() + ": " + why, elsewhere);
  struct statvfs info {};
  if (statvfs(store.c_str(), &info) != 0)
    throw Refused(store.string() + ": " + std::strerror(errno), elsewhere);
  const uint64_t free = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  std::string text = store.string() + ": " + report::grouped(free >> 20) + " MiB free";
  if (free < kLeastFree)
    throw Refused(text, "free some space, or set HEDDLE_TRACE_DIR to another disk");
  return text;
}

std::string open_catalog() {
  Catalog catalog(catalog_path(), Database::Mode::read_write);
  return catalog_path().string() + ": " + report::counted(catalog.traces().size(), "trace") + ", " +
         report::counted(catalog.findings().size(), "finding");
}

CheckResult tried(const std::string& name, const std::string& advice,
                  const std::function<std::string()>& act) {
  try {
    return {name, true, act(), {}};
  } catch (const Refused& error) {
    return {name, false, error.what(), error.advice};
  } catch (const std::exception& error) {
    return {name, false, error.what(), advice};
  }
}

}  // namespace

std::vector<CheckResult> check_machine() {
  const std::string catalog_advice = "repair or remove it, or name another with --catalog";
  return {
      tried("yama", kContainer, yama),
      tried("ptrace", kContainer, trace_a_child),
      tried("personality", kContainer, personality_of_a_child),
      tried("memfd", kContainer, execute_from_memfd),
      tried("addresses", kContainer, place_memory),
      tried("checkpoint", kContainer, fork_a_checkpoint),
      tried("disk", "set HEDDLE_TRACE_DIR", write_to_store),
      tried("catalog", catalog_advice, open_catalog),
  };
}

}  // namespace heddle::cli
