// Random guest programs: straight code of random encodings between directed templates.
#pragma once

#include "tests/differential/guest_program.h"

namespace heddle::differential {

// The program of a seed: always the same one. It ends at its int3 or at a fault, after at most a
// few hundred instructions; its memory operands lie in the placement's data and stack, but for
// deliberate faults.
GuestProgram generate(uint64_t seed);

}  // namespace heddle::differential
