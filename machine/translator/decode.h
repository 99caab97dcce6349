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

// The instruction at `pc`; nothing where the bytes are not one. `cut_at`: set to the number of
// bytes that can be read where more of them were needed to tell.
std::optional<Instruction> decode(const CodeSource& source, uint64_t pc,
                                  std::optional<uint8_t>* cut_at = nullptr);

// "0x401136: 83 05 f4 2e 00 00 01"
std::string bytes_text(const Instruction& instruction);

// Destination of a direct branch or call.
uint64_t direct_target(const Instruction& instruction);

// What an instruction does to the status flags.
struct FlagEffect {
  uint16_t read = 0;
  uint16_t written = 0;    // whatever the operands are
  bool transfers = false;  // or shows the flags in another way: nothing is known behind it
  bool operator==(const FlagEffect&) const = default;
};
FlagEffect flag_effect(const Instruction& instruction);  // flags.cpp

// Number of a general register (Register's order), or nothing for other registers.
std::optional<Register> general_register(ZydisRegister reg);

// True for what natively runs in user mode, but would escape from the machine's hold on the
// program, show the code cache in guest state, or differ between vendors.
bool refused(const Instruction& instruction);

// Memory operands that the instruction really accesses, but for the stack's of push, pop, call and
// ret: indices into operands.
struct OperandAccess {
  unsigned index = 0;
  uint32_t size = 0;  // bytes
  bool read = false;
  bool written = false;
  bool locked = false;
  bool repeated = false;     // rep movs, stos: times rcx
  bool bit_string = false;   // bt and its like with a register: the bit may lie in another word
  uint8_t stack_offset = 0;  // bytes added to rsp before it is part of the address (pop)
};
std::vector<OperandAccess> accesses(const Instruction& instruction);

}  // namespace heddle::translator
