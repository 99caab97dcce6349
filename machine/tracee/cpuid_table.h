// The answers to cpuid that a program finds in its own process (struct heddle_cpuid_table), so that
// it does not stop for each.
#pragma once

#include <span>

#include "machine/tracee/process_memory.h"
#include "trace_format/event.h"

namespace heddle {

// Any other leaf stops. Throws std::runtime_error where there are more than the table holds.
void place_cpuid_answers(ProcessMemory& memory, std::span<const event::CpuidEntry> answers);

}  // namespace heddle
