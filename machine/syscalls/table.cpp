#include "machine/syscalls/table.h"

#include <sys/syscall.h>

#include <unordered_map>

namespace heddle {
namespace {

using enum Replay;
using enum Extent;

// Sizes of structures are those of the x86-64 kernel ABI (uapi headers of Linux 6.1).
const std::vector<Syscall>& table() {
  static const std::vector<Syscall> calls = {
      // Files and descriptors
      {SYS_read, "read", logged, true, {{1, result}}},
      {SYS_write, "write", logged, true, {}},
      {SYS_open, "open", logged, true, {}},
      {SYS_openat, "openat", logged, true, {}},
      {SYS_close, "close", logged, false, {}},
      {SYS_stat, "stat", logged, false, {{1, fixed, 144}}},
      {SYS_fstat, "fstat", logged, false, {{1, fixed, 144}}},
      {SYS_lstat, "lstat", logged, false, {{1, fixed, 144}}},
      {SYS_newfstatat, "newfstatat", logged, false, {{2, fixed, 144}}},
      {SYS_statx, "statx", logged, false, {{4, fixed, 256}}},
      {SYS_statfs, "statfs", logged, false, {{1, fixed, 120}}},
      {SYS_fstatfs, "fstatfs", logged, false, {{1, fixed, 120}}},
      {SYS_lseek, "lseek", logged, false, {}},
      {SYS_pread64, "pread64", logged, true, {{1, result}}},
      {SYS_pwrite64, "pwrite64", logged, true, {}},
      {SYS_readv, "readv", logged, true, {{1, Extent::vector, 1, 2}}},
      {SYS_writev, "writev", logged, true, {}},
      {SYS_access, "access", logged, false, {}},
      {SYS_faccessat, "faccessat", logged, false, {}},
      {SYS_faccessat2, "faccessat2", logged, false, {}},
      {SYS_readlink, "readlink", logged, false, {{1, result}}},
      {SYS_readlinkat, "readlinkat", logged, false, {{2, result}}},
      {SYS_getdents64, "getdents64", logged, false, {{1, result}}},
      {SYS_getcwd, "getcwd", logged, false, {{0, result}}},
      {SYS_chdir, "chdir", logged, false, {}},
      {SYS_fchdir, "fchdir", logged, false, {}},
      {SYS_mkdir, "mkdir", logged, false, {}},
      {SYS_mkdirat, "mkdirat", logged, false, {}},
      {SYS_rmdir, "rmdir", logged, false, {}},
      {SYS_rename, "rename", logged, false, {}},
      {SYS_renameat2, "renameat2", logged, false, {}},
      {SYS_unlink, "unlink", logged, false, {}},
      {SYS_unlinkat, "unlinkat", logged, false, {}},
      {SYS_symlink, "symlink", logged, false, {}},
      {SYS_link, "link", logged, false, {}},
      {SYS_chmod, "chmod", logged, false, {}},
      {SYS_fchmod, "fchmod", logged, false, {}},
      {SYS_chown, "chown", logged, false, {}},
      {SYS_fchown, "fchown", logged, false, {}},
      {SYS_fchownat, "fchownat", logged, false, {}},
      {SYS_utimensat, "utimensat", logged, false, {}},
      {SYS_umask, "umask", logged, false, {}},
      {SYS_ftruncate, "ftruncate", logged, false, {}},
      {SYS_truncate, "truncate", logged, false, {}},
      {SYS_fsync, "fsync", logged, true, {}},
      {SYS_fdatasync, "fdatasync", logged, true, {}},
      {SYS_flock, "flock", logged, true, {}},
      {SYS_fallocate, "fallocate", logged, false, {}},
      {SYS_fadvise64, "fadvise64", logged, false, {}},
      {SYS_dup, "dup", logged, false, {}},
      {SYS_dup2, "dup2", logged, false, {}},
      {SYS_dup3, "dup3", logged, false, {}},
      {SYS_pipe, "pipe", logged, false, {{0, fixed, 8}}},
      {SYS_pipe2, "pipe2", logged, false, {{0, fixed, 8}}},
      {SYS_memfd_create, "memfd_create", logged, false, {}},
      {SYS_getxattr, "getxattr", logged, false, {{2, result}}},
      {SYS_lgetxattr, "lgetxattr", logged, false, {{2, result}}},
      // Waiting for descriptors
      {SYS_poll, "poll", logged, true, {{0, elements, 8, 1}}},
      {SYS_ppoll, "ppoll", logged, true, {{0, elements, 8, 1}}},
      {SYS_epoll_create1, "epoll_create1", logged, false, {}},
      {SYS_epoll_ctl, "epoll_ctl", logged, false, {}},
      {SYS_epoll_wait, "epoll_wait", logged, true, {{1, returned, 12}}},
      {SYS_epoll_pwait, "epoll_pwait", logged, true, {{1, returned, 12}}},
      {SYS_eventfd2, "eventfd2", logged, false, {}},
      {SYS_timerfd_create, "timerfd_create", logged, false, {}},
      {SYS_timerfd_settime, "timerfd_settime", logged, false, {{3, fixed, 32}}},
      {SYS_timerfd_gettime, "timerfd_gettime", logged, false, {{1, fixed, 32}}},
      {SYS_inotify_init1, "inotify_init1", logged, false, {}},
      {SYS_inotify_add_watch, "inotify_add_watch", logged, false, {}},
      {SYS_sendfile, "sendfile", logged, true, {{2, fixed, 8}}},
      {SYS_copy_file_range, "copy_file_range", logged, true, {{1, fixed, 8}, {3, fixed, 8}}},
      // Memory
      {SYS_mmap, "mmap", performed, false, {}},
      {SYS_munmap, "munmap", performed, false, {}},
      {SYS_mprotect, "mprotect", performed, false, {}},
      {SYS_mremap, "mremap", performed, false, {}},
      {SYS_brk, "brk", performed, false, {}},
      {SYS_madvise, "madvise", performed, false, {}},
      {SYS_mincore, "mincore", logged, false, {}},
      {SYS_msync, "msync", logged, true, {}},
      {SYS_mlock, "mlock", logged, false, {}},
      {SYS_munlock, "munlock", logged, false, {}},
      // Signals
      {SYS_rt_sigaction, "rt_sigaction", virtualised, false, {}},
      {SYS_rt_sigprocmask, "rt_sigprocmask", virtualised, false, {}},
      {SYS_rt_sigreturn, "rt_sigreturn", virtualised, false, {}},
      {SYS_sigaltstack, "sigaltstack", virtualised, false, {}},
      {SYS_rt_sigpending, "rt_sigpending", logged, false, {{0, fixed, 8}}},
      {SYS_rt_sigsuspend, "rt_sigsuspend", logged, true, {}},
      {SYS_rt_sigtimedwait, "rt_sigtimedwait", logged, true, {{1, fixed, 128}}},
      {SYS_rt_sigqueueinfo, "rt_sigqueueinfo", logged, false, {}},
      {SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo", logged, false, {}},
      {SYS_kill, "kill", logged, false, {}},
      {SYS_tkill, "tkill", logged, false, {}},
      {SYS_tgkill, "tgkill", logged, false, {}},
      {SYS_pause, "pause", logged, true, {}},
      {SYS_alarm, "alarm", logged, false, {}},
      {SYS_setitimer, "setitimer", logged, false, {{2, fixed, 32}}},
      {SYS_getitimer, "getitimer", logged, false, {{1, fixed, 32}}},
      {SYS_timer_create, "timer_create", logged, false, {{2, fixed, 4}}},
      {SYS_timer_settime, "timer_settime", logged, false, {{3, fixed, 32}}},
      {SYS_timer_delete, "timer_delete", logged, false, {}},
      // Threads and processes
      {SYS_clone, "clone", virtualised, false, {}},
      {SYS_clone3, "clone3", virtualised, false, {}},
      {SYS_fork, "fork", virtualised, false, {}},
      {SYS_vfork, "vfork", virtualised, false, {}},
      {SYS_execve, "execve", virtualised, false, {}},
      {SYS_execveat, "execveat", virtualised, false, {}},
      {SYS_exit, "exit", virtualised, false, {}},
      {SYS_exit_group, "exit_group", virtualised, false, {}},
      {SYS_arch_prctl, "arch_prctl", virtualised, false, {}},
      {SYS_set_tid_address, "set_tid_address", logged, false, {}},
      {SYS_set_robust_list, "set_robust_list", logged, false, {}},
      {SYS_futex, "futex", logged, true, {}},
      {SYS_sched_yield, "sched_yield", logged, true, {}},
      {SYS_sched_getaffinity, "sched_getaffinity", logged, false, {{2, result}}},
      {SYS_sched_setaffinity, "sched_setaffinity", logged, false, {}},
      {SYS_gettid, "gettid", logged, false, {}},
      {SYS_getpid, "getpid", logged, false, {}},
      {SYS_getppid, "getppid", logged, false, {}},
      {SYS_getpgrp, "getpgrp", logged, false, {}},
      {SYS_getpgid, "getpgid", logged, false, {}},
      {SYS_getsid, "getsid", logged, false, {}},
      {SYS_setsid, "setsid", logged, false, {}},
      {SYS_getgroups, "getgroups", logged, false, {{1, returned, 4}}},
      {SYS_getpriority, "getpriority", logged, false, {}},
      {SYS_setpriority, "setpriority", logged, false, {}},
      {SYS_sched_getparam, "sched_getparam", logged, false, {{1, fixed, 4}}},
      {SYS_sched_getscheduler, "sched_getscheduler", logged, false, {}},
      {SYS_sched_setscheduler, "sched_setscheduler", logged, false, {}},
      {SYS_getcpu, "getcpu", logged, false, {{0, fixed, 4}, {1, fixed, 4}}},
      {SYS_membarrier, "membarrier", logged, false, {}},
      {SYS_getresuid, "getresuid", logged, false, {{0, fixed, 4}, {1, fixed, 4}, {2, fixed, 4}}},
      {SYS_getresgid, "getresgid", logged, false, {{0, fixed, 4}, {1, fixed, 4}, {2, fixed, 4}}},
      {SYS_getuid, "getuid", logged, false, {}},
      {SYS_geteuid, "geteuid", logged, false, {}},
      {SYS_getgid, "getgid", logged, false, {}},
      {SYS_getegid, "getegid", logged, false, {}},
      {SYS_prlimit64, "prlimit64", logged, false, {{3, fixed, 16}}},
      {SYS_getrlimit, "getrlimit", logged, false, {{1, fixed, 16}}},
      {SYS_setrlimit, "setrlimit", logged, false, {}},
      {SYS_getrusage, "getrusage", logged, false, {{1, fixed, 144}}},
      {SYS_wait4, "wait4", logged, true, {{1, fixed, 4}, {3, fixed, 144}}},
      {SYS_uname, "uname", logged, false, {{0, fixed, 390}}},
      {SYS_sysinfo, "sysinfo", logged, false, {{0, fixed, 112}}},
      {SYS_times, "times", logged, false, {{0, fixed, 32}}},
      {SYS_rseq, "rseq", answered, false, {}},
      {SYS_io_uring_setup, "io_uring_setup", answered, false, {}},
      {SYS_userfaultfd, "userfaultfd", answered, false, {}},
      // Time and chance
      {SYS_clock_gettime, "clock_gettime", logged, false, {{1, fixed, 16}}},
      {SYS_clock_getres, "clock_getres", logged, false, {{1, fixed, 16}}},
      {SYS_gettimeofday, "gettimeofday", logged, false, {{0, fixed, 16}, {1, fixed, 8}}},
      {SYS_time, "time", logged, false, {{0, fixed, 8}}},
      {SYS_nanosleep, "nanosleep", logged, true, {{1, fixed, 16}}},
      {SYS_clock_nanosleep, "clock_nanosleep", logged, true, {{3, fixed, 16}}},
      {SYS_getrandom, "getrandom", logged, false, {{0, result}}},
      // Sockets
      {SYS_socket, "socket", logged, false, {}},
      {SYS_socketpair, "socketpair", logged, false, {{3, fixed, 8}}},
      {SYS_bind, "bind", logged, false, {}},
      {SYS_listen, "listen", logged, false, {}},
      {SYS_connect, "connect", logged, true, {}},
      {SYS_accept, "accept", logged, true, {{1, sized, 1, 2}, {2, fixed, 4}}},
      {SYS_accept4, "accept4", logged, true, {{1, sized, 1, 2}, {2, fixed, 4}}},
      {SYS_getsockname, "getsockname", logged, false, {{1, sized, 1, 2}, {2, fixed, 4}}},
      {SYS_getpeername, "getpeername", logged, false, {{1, sized, 1, 2}, {2, fixed, 4}}},
      {SYS_setsockopt, "setsockopt", logged, false, {}},
      {SYS_getsockopt, "getsockopt", logged, false, {{3, sized, 1, 4}, {4, fixed, 4}}},
      {SYS_sendto, "sendto", logged, true, {}},
      {SYS_recvfrom, "recvfrom", logged, true, {{1, result}, {4, sized, 1, 5}, {5, fixed, 4}}},
      {SYS_sendmsg, "sendmsg", logged, true, {}},
      {SYS_recvmsg, "recvmsg", logged, true, {{1, message}}},
      {SYS_shutdown, "shutdown", logged, false, {}},
  };
  return calls;
}

}  // namespace

const Syscall* find(uint64_t number) {
  static const auto index = [] {
    std::unordered_map<uint64_t, const Syscall*> by_number;
    for (const auto& call : table()) by_number[call.number] = &call;
    // Calls whose effects depend on a command word: described in effects.cpp.
    static const Syscall commands[] = {
        {SYS_ioctl, "ioctl", logged, true, {}},
        {SYS_fcntl, "fcntl", logged, true, {}},
        {SYS_prctl, "prctl", logged, false, {}},
    };
    for (const auto& call : commands) by_number[call.number] = &call;
    return by_number;
  }();
  const auto it = index.find(number);
  return it == index.end() ? nullptr : it->second;
}

}  // namespace heddle
