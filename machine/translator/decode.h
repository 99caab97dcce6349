// Zydis, as the translator uses it.
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <optional>
#include <string>

#include "machine/translator/translator.h"

namespace heddle::translator {

struct Instruction {
  uint64_t pc = 0;
  std::array<uint8_t, 16> bytes{};
  ZydisDecodedInstruction info{};
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands{};

  uint64_t next() const { return pc + info.length; }
};

// The instruction at `pc`; nothing where the bytes are not one. `readable` tells how many bytes of
// code there were, so that "no code" and "no instruction" can be told apart.
std::optional<Instruction> decode(const CodeSource& source, uint64_t pc,
                                  size_t* readable = nullptr);

// "0x401136: 83 05 f4 2e 00 00 01"
std::string bytes_text(const Instruction& instruction);

// Destination of a direct branch or call.
uint64_t direct_target(const Instruction& instruction);

// Number of a general register (Register's order), or nothing for other registers.
std::optional<Register> general_register(ZydisRegister reg);

// Memory operands that the instruction really accesses, but for the stack's of push, pop, call and
// ret: indices into operands.
struct OperandAccess {
  unsigned index = 0;
  uint32_t size = 0;  // bytes
  bool read = false;
  bool written = false;
  bool locked = false;
  bool repeated = false;  // rep movs, stos: times rcx
};
std::vector<OperandAccess> accesses(const Instruction& instruction);

}  // namespace heddle::translator
