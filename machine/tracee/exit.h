// Why the guest's code stopped running.
#pragma once

#include <signal.h>

#include "machine/tracee/task_context.h"
#include "machine/translator/translator.h"

namespace heddle {

struct Exit {
  enum class Kind : uint8_t {
    syscall,   // at a syscall instruction, not executed
    special,   // at a SpecialInstruction, not executed; see `site`
    budget,    // the granted ticks are used up
    fault,     // the instruction at the place raises `info.si_signo`; context is before it
    point,     // explore mode: an access point (context.phase tells which half)
    hook,      // analysis mode: at a hooked address
    stop,      // reached run_exact's stop
    log_full,  // analysis mode: the access log is full: drain, then resume_after_log()
    signal,    // a signal of the outside: `info`; the context is NOT stored, the thread is stopped
               // anywhere; hold it, ask for a stop soon, and keep_running()
    event,     // a ptrace event stop or the thread's end: see `status`
  };
  Kind kind = Kind::event;
  int status = 0;  // wait(2)'s status word
  siginfo_t info{};
  const translator::ExitSite* site = nullptr;
  bool waits = false;  // syscall: the runtime tried it, and it would wait
  bool again = false;  // syscall: the runtime had no room to log it, or no call left
};

// The exit that the task takes at `site` with its state settled there: not for link and returned. A
// trap leaves the breakpoint behind it. Throws std::runtime_error with the bytes of an instruction
// that cannot be run.
Exit exit_of(const translator::ExitSite& site, TaskContext& context, const GuestMemory& memory);

}  // namespace heddle
