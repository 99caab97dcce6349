// Live answers to the instructions that differ from machine to machine and run to run.
#pragma once

#include "machine/tracee/cpu_features.h"
#include "machine/translator/translator.h"
#include "trace_format/event.h"

namespace heddle {

// CPUID hides what heddle does not run and where the program runs: see cpuid().
event::Instruction answer_special(const translator::ExitSite& site, const Registers& registers,
                                  CpuFeatures features);

}  // namespace heddle
