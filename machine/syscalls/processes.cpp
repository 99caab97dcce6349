// Processes: creation, execution, end and waiting, limits, process control.
#include <sys/prctl.h>

#include "machine/syscalls/commands.h"
#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

// siginfo_t is written field by field: signo, errno, code; pid, uid, status.
void waitid_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  out.push_back({call.arguments[2], 12});
  if (call.arguments[2] != 0) out.push_back({call.arguments[2] + 16, 12});
  const auto child = call.memory.load<int32_t>(call.arguments[2] + 16);
  if (child && *child != 0) out.push_back({call.arguments[4], kRusage});
}

constexpr Argument kCloneFlags{Kind::clone_flags};
constexpr Argument kPrctl{Kind::prctl_option};
constexpr Argument kWait{Kind::wait_options};

constexpr Syscall kCalls[] = {
    {SYS_getpid, "getpid", logged, at_once, {}},
    {SYS_clone, "clone", virtualised, at_once, {kCloneFlags, in, out(kInt), out(kInt), in}},
    {SYS_fork, "fork", virtualised, at_once, {}},
    {SYS_vfork, "vfork", virtualised, at_once, {}},
    {SYS_execve, "execve", virtualised, at_once, {path, in, in}},
    {SYS_exit, "exit", virtualised, at_once, {integer}},
    {SYS_wait4,
     "wait4",
     logged,
     blocks,
     {process, out_if_positive(kInt), kWait, out_if_positive(kRusage)}},
    {SYS_getrlimit, "getrlimit", logged, at_once, {integer, out(kRlimit)}},
    {SYS_getrusage, "getrusage", logged, at_once, {integer, out(kRusage)}},
    {SYS_ptrace, "ptrace", refused, at_once, {integer, process, in, in}},
    {SYS_setpgid, "setpgid", logged, at_once, {process, process}},
    {SYS_getppid, "getppid", logged, at_once, {}},
    {SYS_getpgrp, "getpgrp", logged, at_once, {}},
    {SYS_setsid, "setsid", logged, at_once, {}},
    {SYS_getpgid, "getpgid", logged, at_once, {process}},
    {SYS_getsid, "getsid", logged, at_once, {process}},
    {SYS_personality, "personality", logged, at_once, {flags}},
    {SYS_prctl,
     "prctl",
     logged,
     at_once,
     {kPrctl, by_command, in, in, in},
     prctl_effects,
     prctl_taint},
    {SYS_arch_prctl, "arch_prctl", virtualised, at_once, {flags, in}},
    {SYS_setrlimit, "setrlimit", logged, at_once, {integer, in}},
    {SYS_acct, "acct", logged, at_once, {path}},
    {SYS_exit_group, "exit_group", virtualised, at_once, {integer}},
    {SYS_waitid,
     "waitid",
     logged,
     blocks,
     {integer, process, room(kSiginfo), kWait, room(kRusage)},
     waitid_effects},
    {SYS_unshare, "unshare", logged, at_once, {kCloneFlags}},
    {SYS_prlimit64, "prlimit64", logged, at_once, {process, integer, in, out(kRlimit)}},
    {SYS_setns, "setns", logged, at_once, {fd, kCloneFlags}},
    {SYS_process_vm_readv,
     "process_vm_readv",
     logged,
     at_once,
     {process, vector_out(2), number, in, number, flags}},
    {SYS_process_vm_writev,
     "process_vm_writev",
     logged,
     at_once,
     {process, in, number, in, number, flags}},
    {SYS_kcmp, "kcmp", logged, at_once, {process, process, integer, fd, fd}},
    {SYS_seccomp, "seccomp", refused, at_once, {integer, flags, in}},
    {SYS_execveat, "execveat", virtualised, at_once, {dirfd, path, in, in, at_flags}},
    {SYS_pidfd_send_signal, "pidfd_send_signal", logged, at_once, {fd, signal, in, flags}},
    {SYS_pidfd_open, "pidfd_open", logged, at_once, {process, flags}},
    {SYS_clone3, "clone3", virtualised, at_once, {in, size}},
    {SYS_pidfd_getfd, "pidfd_getfd", logged, at_once, {fd, fd, flags}},
};

}  // namespace

std::span<const Syscall> processes() {
  return kCalls;
}

}  // namespace heddle::rows
