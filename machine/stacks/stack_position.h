// Where a walk up a stack is: one frame's registers.
#pragma once

#include "trace_format/registers.h"

namespace heddle {

struct StackPosition {
  // Known of a caller: rip, rsp, and what its callees preserve. The rest is left over.
  Registers registers;
  // rip is where the frame goes on after a call, not where it was interrupted.
  bool after_call = false;

  uint64_t pc() const { return registers[Register::rip]; }
  uint64_t sp() const { return registers[Register::rsp]; }
  // An address inside of the instruction that the frame is at: tables are asked about this one,
  // since a call may be the last instruction of its function or line.
  uint64_t code() const { return after_call ? pc() - 1 : pc(); }
};

}  // namespace heddle
