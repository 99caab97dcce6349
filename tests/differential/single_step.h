// The oracle: native execution one instruction at a time.
#pragma once

#include <signal.h>

#include "machine/guest_memory.h"
#include "machine/tracee/host_thread.h"
#include "machine/translator/translator.h"
#include "trace_format/place.h"
#include "trace_format/registers.h"

namespace heddle::differential {

// Registers as the guest sees them, without the flags that stepping and faults leave behind.
Registers guest_registers(const user_regs_struct& regs);

struct SingleStep {
  bool done = false;    // the instruction was executed; one iteration of a repeated one
  Registers registers;  // after it, or in front of it where it faulted (behind it: int3)
  siginfo_t signal{};   // what came instead
};

// Steps the stopped thread. The stepping's own trap flag is taken out of what pushf and syscall
// stored.
SingleStep single_step(HostThread& thread, GuestMemory& memory);

// True where the instruction at `pc` is a string instruction, which steps once per iteration.
bool iterates(const translator::CodeSource& code, uint64_t pc);

// Ticks that the instruction at `from` counts when control goes on at `to`, by the definition in
// machine/translator/translator.h, worked out apart from the translator.
Ticks ticks_of(const translator::CodeSource& code, uint64_t from, uint64_t to);

}  // namespace heddle::differential
