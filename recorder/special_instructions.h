// Live answers to the instructions that differ from machine to machine and run to run.
#pragma once

#include "machine/translator/translator.h"
#include "trace_format/event.h"

namespace heddle {

// CPUID hides what would make the guest's path depend on the machine: XSAVE with AVX and everything
// that needs it, RDRAND, transactional memory, and the number of the processor it runs on.
event::Instruction answer_special(const translator::ExitSite& site, const Registers& registers);

// Where the answer goes for rdrand, rdseed and rdpid, whose destination is any register: applies
// `answer` and steps over the instruction.
void apply_special(const event::Instruction& answer, unsigned length, Registers& registers);

}  // namespace heddle
