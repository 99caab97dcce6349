#include "machine/syscalls/served.h"

#include <sys/syscall.h>

#include <stdexcept>
#include <string>

#include "machine/syscalls/table.h"

namespace heddle {
namespace {

struct Row {
  uint32_t number;
  heddle_family family;
  uint8_t forgets = 0;  // heddle_served::forgets
};

// Calls that neither wait nor change what heddle keeps: code, files that show in memory, tasks (of
// the heap's end nothing is kept); of signals, what the log lets it follow. Of those that may do
// so, the cases that do not: deciding.h, plain_memory.h and signal_calls.h tell them apart.
constexpr Row kRows[] = {
    {SYS_read, HEDDLE_READ},
    {SYS_write, HEDDLE_WRITE},
    {SYS_open, HEDDLE_OPEN},
    {SYS_close, HEDDLE_PLAIN, 1},
    {SYS_stat, HEDDLE_PLAIN},
    {SYS_fstat, HEDDLE_PLAIN},
    {SYS_lstat, HEDDLE_PLAIN},
    {SYS_poll, HEDDLE_POLL},
    {SYS_lseek, HEDDLE_PLAIN},
    {SYS_mmap, HEDDLE_MMAP},
    {SYS_mprotect, HEDDLE_PLAIN_MEMORY},
    {SYS_munmap, HEDDLE_PLAIN_MEMORY},
    {SYS_brk, HEDDLE_PLAIN},
    {SYS_rt_sigaction, HEDDLE_SIGACTION},
    {SYS_rt_sigprocmask, HEDDLE_SIGPROCMASK},
    {SYS_ioctl, HEDDLE_IOCTL},
    {SYS_pread64, HEDDLE_PREAD},
    {SYS_pwrite64, HEDDLE_PWRITE},
    {SYS_readv, HEDDLE_READV},
    {SYS_writev, HEDDLE_WRITEV},
    {SYS_access, HEDDLE_PLAIN},
    {SYS_mremap, HEDDLE_PLAIN_MEMORY},
    {SYS_madvise, HEDDLE_PLAIN_MEMORY},
    {SYS_pipe, HEDDLE_PLAIN},
    {SYS_dup, HEDDLE_PLAIN},
    {SYS_dup2, HEDDLE_PLAIN, 2},
    {SYS_getpid, HEDDLE_PLAIN},
    {SYS_socket, HEDDLE_PLAIN},
    {SYS_accept, HEDDLE_ACCEPT},
    {SYS_sendto, HEDDLE_SENDTO},
    {SYS_recvfrom, HEDDLE_RECVFROM},
    {SYS_sendmsg, HEDDLE_SENDMSG},
    {SYS_shutdown, HEDDLE_PLAIN},
    {SYS_bind, HEDDLE_PLAIN},
    {SYS_listen, HEDDLE_PLAIN},
    {SYS_getsockname, HEDDLE_PLAIN},
    {SYS_getpeername, HEDDLE_PLAIN},
    {SYS_socketpair, HEDDLE_PLAIN},
    {SYS_setsockopt, HEDDLE_PLAIN, 1},
    {SYS_uname, HEDDLE_PLAIN},
    {SYS_fcntl, HEDDLE_FCNTL},
    {SYS_getdents, HEDDLE_PLAIN},
    {SYS_getcwd, HEDDLE_PLAIN},
    {SYS_chdir, HEDDLE_PLAIN},
    {SYS_fchdir, HEDDLE_PLAIN},
    {SYS_rename, HEDDLE_PLAIN},
    {SYS_mkdir, HEDDLE_PLAIN},
    {SYS_rmdir, HEDDLE_PLAIN},
    {SYS_link, HEDDLE_PLAIN},
    {SYS_unlink, HEDDLE_PLAIN},
    {SYS_symlink, HEDDLE_PLAIN},
    {SYS_readlink, HEDDLE_PLAIN},
    {SYS_chmod, HEDDLE_PLAIN},
    {SYS_fchmod, HEDDLE_PLAIN},
    {SYS_umask, HEDDLE_PLAIN},
    {SYS_gettimeofday, HEDDLE_TIME_OF_DAY},
    {SYS_getrlimit, HEDDLE_PLAIN},
    {SYS_getrusage, HEDDLE_PLAIN},
    {SYS_sysinfo, HEDDLE_PLAIN},
    {SYS_times, HEDDLE_PLAIN},
    {SYS_getuid, HEDDLE_PLAIN},
    {SYS_getgid, HEDDLE_PLAIN},
    {SYS_geteuid, HEDDLE_PLAIN},
    {SYS_getegid, HEDDLE_PLAIN},
    {SYS_getppid, HEDDLE_PLAIN},
    {SYS_getpgrp, HEDDLE_PLAIN},
    {SYS_getpgid, HEDDLE_PLAIN},
    {SYS_getsid, HEDDLE_PLAIN},
    {SYS_statfs, HEDDLE_PLAIN},
    {SYS_fstatfs, HEDDLE_PLAIN},
    {SYS_gettid, HEDDLE_PLAIN},
    {SYS_sigaltstack, HEDDLE_SIGALTSTACK},
    {SYS_getxattr, HEDDLE_PLAIN},
    {SYS_lgetxattr, HEDDLE_PLAIN},
    {SYS_fgetxattr, HEDDLE_PLAIN},
    {SYS_listxattr, HEDDLE_PLAIN},
    {SYS_llistxattr, HEDDLE_PLAIN},
    {SYS_flistxattr, HEDDLE_PLAIN},
    {SYS_time, HEDDLE_PLAIN},
    {SYS_futex, HEDDLE_FUTEX},
    {SYS_sched_getaffinity, HEDDLE_PLAIN},
    {SYS_getdents64, HEDDLE_PLAIN},
    {SYS_fadvise64, HEDDLE_PLAIN},
    {SYS_clock_gettime, HEDDLE_CLOCK},
    {SYS_clock_getres, HEDDLE_PLAIN},
    {SYS_epoll_wait, HEDDLE_EPOLL_WAIT},
    {SYS_epoll_ctl, HEDDLE_PLAIN},
    {SYS_openat, HEDDLE_OPENAT},
    {SYS_mkdirat, HEDDLE_PLAIN},
    {SYS_newfstatat, HEDDLE_PLAIN},
    {SYS_unlinkat, HEDDLE_PLAIN},
    {SYS_renameat, HEDDLE_PLAIN},
    {SYS_linkat, HEDDLE_PLAIN},
    {SYS_symlinkat, HEDDLE_PLAIN},
    {SYS_readlinkat, HEDDLE_PLAIN},
    {SYS_fchmodat, HEDDLE_PLAIN},
    {SYS_faccessat, HEDDLE_PLAIN},
    {SYS_utimensat, HEDDLE_PLAIN},
    {SYS_epoll_pwait, HEDDLE_EPOLL_WAIT},
    {SYS_timerfd_create, HEDDLE_PLAIN},
    {SYS_timerfd_settime, HEDDLE_PLAIN},
    {SYS_timerfd_gettime, HEDDLE_PLAIN},
    {SYS_accept4, HEDDLE_ACCEPT},
    {SYS_eventfd2, HEDDLE_PLAIN},
    {SYS_epoll_create1, HEDDLE_PLAIN},
    {SYS_dup3, HEDDLE_PLAIN, 2},
    {SYS_pipe2, HEDDLE_PLAIN},
    {SYS_prlimit64, HEDDLE_PLAIN},
    {SYS_getcpu, HEDDLE_PLAIN},
    {SYS_renameat2, HEDDLE_PLAIN},
    {SYS_getrandom, HEDDLE_PLAIN},
    {SYS_statx, HEDDLE_PLAIN},
    {SYS_faccessat2, HEDDLE_PLAIN},
};

// What the table says of the memory that a call writes, as the runtime understands it.
heddle_served describe(const Row& row) {
  heddle_served served{};
  served.family = static_cast<uint8_t>(row.family);
  served.forgets = row.forgets;
  if (row.family != HEDDLE_PLAIN) return served;
  const auto* call = find(row.number);
  size_t outputs = 0;
  const auto add = [&](size_t argument, heddle_extent how, unsigned other, unsigned unit) {
    if (outputs == std::size(served.output))
      throw std::logic_error(std::string(call->name) + " has too many outputs to be served");
    served.output[outputs++] = {static_cast<uint8_t>(argument), static_cast<uint8_t>(how),
                                static_cast<uint8_t>(other), 0, static_cast<uint16_t>(unit)};
  };
  for (size_t i = 0; i < call->arguments.size(); ++i) {
    const auto& argument = call->arguments[i];
    switch (argument.extent) {
      case Extent::none:
      case Extent::length:  // goes with its address
        break;
      case Extent::fixed:
        add(i, HEDDLE_EXTENT_FIXED, 0, argument.unit);
        break;
      case Extent::returned:
        add(i, HEDDLE_EXTENT_RETURNED, argument.other, 0);
        break;
      case Extent::address:
        add(i, HEDDLE_EXTENT_ADDRESS, argument.other, 0);
        break;
      default:
        throw std::logic_error(std::string(call->name) + " cannot be served as it is");
    }
  }
  return served;
}

std::array<heddle_served, HEDDLE_SERVED_CALLS> table() {
  std::array<heddle_served, HEDDLE_SERVED_CALLS> calls{};
  for (const auto& row : kRows) calls.at(row.number) = describe(row);
  return calls;
}

}  // namespace

const std::array<heddle_served, HEDDLE_SERVED_CALLS>& served_calls() {
  static const auto calls = table();
  return calls;
}

}  // namespace heddle
