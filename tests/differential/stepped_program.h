// A real program's native run, stepped instruction by instruction: what a translated run of it is
// held against.
#pragma once

#include <string>
#include <vector>

#include "machine/tracee/host_process.h"
#include "trace_format/event.h"

namespace heddle::differential {

struct SteppedProgram {
  struct SteppedCall {  // a system call
    uint64_t number = 0;
    int64_t result = 0;
    std::vector<MemoryEffect> effects;
  };
  struct Sample {  // the state in front of the instruction at registers.rip
    Registers registers;
    Ticks ticks = 0;
    std::vector<uint8_t> vectors;  // xmm0 to xmm15, at some of the samples
  };

  Program program;
  uint64_t stack = 0;  // address of the initial stack's contents
  std::vector<uint8_t> stack_bytes;
  Registers entry;
  std::vector<SteppedCall> calls;
  std::vector<Registers> specials;  // after each rdtsc, cpuid and their like
  std::vector<Sample> ticks;        // where the task is when each tick is counted: ticks[0] is 1
  std::vector<Sample> places;       // now and then, between ticks
  std::vector<uint64_t> updates;    // unlocked read-modify-writes that were executed
  uint64_t instructions = 0;
  int status = 0;  // of exit_group
};

// Runs `program` natively to its end, or for `limit` instructions, all under ptrace. It may have
// one thread, and no signals. CPUID and its like are answered as the recorder does.
SteppedProgram step_program(const Program& program, uint64_t limit);

std::vector<uint8_t> vector_registers(const HostThread& thread);

}  // namespace heddle::differential
