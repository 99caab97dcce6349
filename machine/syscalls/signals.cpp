// Signals: dispositions, masks, sending, waiting. Dispositions, masks and alternate stacks are
// machine/tracee/signal_state.h's.
#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

constexpr Argument kHow{Kind::signal_how};

constexpr Syscall kCalls[] = {
    {SYS_rt_sigaction, "rt_sigaction", virtualised, at_once, {signal, in, out(32), size}},
    {SYS_rt_sigprocmask, "rt_sigprocmask", virtualised, at_once, {kHow, in, out(kSignalSet), size}},
    {SYS_rt_sigreturn, "rt_sigreturn", virtualised, at_once, {}},
    {SYS_pause, "pause", logged, blocks, {}},
    {SYS_kill, "kill", logged, at_once, {process, signal}},
    {SYS_rt_sigpending, "rt_sigpending", logged, at_once, {array_out(1, 1), size}},
    {SYS_rt_sigtimedwait,
     "rt_sigtimedwait",
     logged,
     blocks,
     {in, out_if_positive(kSiginfo), in, size}},
    {SYS_rt_sigqueueinfo, "rt_sigqueueinfo", logged, at_once, {process, signal, in}},
    {SYS_rt_sigsuspend, "rt_sigsuspend", logged, blocks, {in, size}},
    {SYS_sigaltstack, "sigaltstack", virtualised, at_once, {in, out(24)}},
    {SYS_tkill, "tkill", logged, at_once, {process, signal}},
    {SYS_restart_syscall, "restart_syscall", refused, at_once, {}},
    {SYS_tgkill, "tgkill", logged, at_once, {process, process, signal}},
    {SYS_signalfd, "signalfd", logged, at_once, {fd, in, size}},
    {SYS_signalfd4, "signalfd4", logged, at_once, {fd, in, size, open_flags}},
    {SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo", logged, at_once, {process, process, signal, in}},
};

}  // namespace

std::span<const Syscall> signals() {
  return kCalls;
}

}  // namespace heddle::rows
