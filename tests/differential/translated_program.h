// A translated run of a program, held against its stepped native run.
#pragma once

#include <optional>
#include <string>

#include "machine/tracee/code_cache.h"
#include "machine/tracee/guest_cpu.h"
#include "tests/differential/stepped_program.h"

namespace heddle::differential {

struct Holding {
  translator::Options options;
  Ticks stride = 1;              // ticks from one compared tick to the next
  bool places = false;           // compare at the sampled places too, reached exactly
  uint64_t points = 0;           // access points until a point exit; 0: none are left at
  bool resume_at_points = true;  // or start anew
};

// The first difference, with where it is; nothing where the run is the same throughout.
// The translated process gets the native one's results of system calls and special instructions.
std::optional<std::string> first_difference(const SteppedProgram& native, const Holding& holding);

}  // namespace heddle::differential
