// A task's registers, ticks and place between two runs of its code.
#pragma once

#include "machine/kernel.h"
#include "trace_format/event.h"
#include "trace_format/place.h"
#include "trace_format/registers.h"

namespace heddle {

struct CloneArguments;
namespace translator {
struct ExitSite;
}

// As the guest sees it.
struct TaskContext {
  TaskId task = 0;
  Registers registers;  // rip is a guest address; at phase 1 that of the split instruction
  Ticks ticks = 0;
  uint8_t phase = 0;
  uint64_t split_value = 0;  // phase 1: what was loaded
  // AccessFilter::owners: who uses the lines that it accesses (LineUse); 0: its number.
  uint32_t owner = 0;

  Place place() const { return {task, ticks, registers[Register::rip], phase}; }

  // The call at rip returns: rax, rcx and r11 as the instruction leaves them, rip behind it.
  void complete_call(int64_t result);
  // The call at rip was interrupted, and is made again when the task runs on.
  void restart_call();
  SyscallRequest request() const;  // the call at rip
  // What `child`, which the call at rip makes, begins with (clone(2)).
  TaskContext cloned(TaskId child, const CloneArguments& arguments) const;
};

// The special instruction at `site`, with the registers that it takes and nothing changed yet.
event::Instruction pending_instruction(const translator::ExitSite& site,
                                       const Registers& registers);
// The special instruction at rip, of `length` bytes, was executed.
void complete_instruction(const event::Instruction& answer, unsigned length, Registers& registers);

// The status flags that no code behind rip reads become zero, as they are where the guest's own
// code leads to an exit: a call that the supervisor completed keeps them.
void clear_dead_flags(Registers& registers, const GuestMemory& memory);

}  // namespace heddle
