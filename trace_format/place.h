// Where a task is, exactly.
#pragma once

#include <compare>
#include <cstdint>

namespace heddle {

// A guest thread's number in one trace: 1 for the first, counted up in the order of creation, never
// used twice. Not the kernel's tid.
using TaskId = uint32_t;

// A count of ticks: backward branches taken, calls and indirect jumps (returns too).
using Ticks = uint64_t;

// A point of a task's execution. Unique in the run, since every cycle of the control flow ticks,
// and the same under every translation of it.
struct Place {
  TaskId task = 0;
  Ticks ticks = 0;
  uint64_t pc = 0;  // guest address of the next instruction
  // 0: in front of the instruction. 1: a split read-modify-write at pc has loaded and not yet
  // stored. 2: inside the system call at pc (it waits, or the task ended in it); in schedules only.
  uint8_t phase = 0;

  auto operator<=>(const Place&) const = default;
};

}  // namespace heddle
