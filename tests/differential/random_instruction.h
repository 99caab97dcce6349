// Random instructions, made of random bytes and taken where they decode.
#pragma once

#include <random>

#include "tests/differential/guest_program.h"

namespace heddle::differential {

using Random = std::mt19937_64;

inline uint64_t below(Random& random, uint64_t n) {
  return random() % n;
}
inline bool chance(Random& random, unsigned percent) {
  return random() % 100 < percent;
}

// Registers that random instructions never write: bases that point into the data and the stack,
// a small index and the loop counter.
inline constexpr Register kDataBase = Register::rbp;    // at data + 0x1000
inline constexpr Register kDataBase2 = Register::r13;   // at data + 0x2000
inline constexpr Register kStackBase = Register::r12;   // at stack + 0x1000, far from rsp
inline constexpr Register kSmallIndex = Register::r10;  // below 64
inline constexpr Register kCounter = Register::r11;

struct InstructionRules {
  Placement placement;
  bool stack = true;  // push, pop and pushf are wanted
};

// One instruction. It may fault where its operands make it (division, alignment), and raises no
// other exit of the translator.
Item random_instruction(Random& random, const InstructionRules& rules);

}  // namespace heddle::differential
