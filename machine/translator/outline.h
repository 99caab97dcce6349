// The little that the translator needs to know of most instructions, found without decoding them in
// full: where one ends, whether it can be copied, and what it does to the status flags.
//
// Length and registers are read from the prefixes, the opcode and the ModRM byte (Intel SDM volume
// 2, chapter 2). All else depends on the opcode, the prefixes and one field of the ModRM byte only,
// and is learnt from Zydis once for each such combination. What is not so regular is decoded in
// full each time, so the answer is always Zydis's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "machine/translator/decode.h"

namespace heddle::translator {

struct Outline {
  enum class Kind : uint8_t {
    copied,       // translates to itself, but for a displacement relative to rip
    conditional,  // a branch on a condition of the flags, to target
    jump,         // a near jump to target
    call,         // a near call of target
    other,        // none of these
    unknown,      // irregular: decode it
  };

  Kind kind = Kind::unknown;
  uint8_t length = 0;
  uint8_t displacement = 0;  // offset of the one that is relative to rip; 0: none. Of copied ones
  uint8_t condition = 0;     // as the instruction encodes it. Of conditional ones
  bool uses_lent = false;    // one of the registers of kLent. Of copied ones
  FlagEffect flags;          // of copied ones
  uint64_t target = 0;
  std::array<uint8_t, 16> bytes{};
};

// Of the instruction at `pc`; nothing where there is none.
std::optional<Outline> outline(const CodeSource& source, uint64_t pc);
// The same; nothing where it would be unknown, too.
std::optional<Outline> regular_outline(const CodeSource& source, uint64_t pc);

}  // namespace heddle::translator
