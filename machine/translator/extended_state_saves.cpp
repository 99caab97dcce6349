// XSAVE, XSAVEC and XSAVEOPT, the same whatever is in use.
//
// What these instructions write depends on which components the processor holds to be in use, which
// a context switch changes: ld.so's lazy resolver leaves it on the stack. Here every component that
// the program asks for is in use and saved; there are x87, SSE and AVX, so that the compacted
// format has the layout of the standard one (Intel SDM vol. 1, 13.4 and 13.7 to 13.10).
#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

namespace {

constexpr int32_t kX87Opcode = 6, kX87Instruction = 8, kX87Operand = 16, kMxcsrMask = 28;
constexpr int32_t kInUse = 512, kCompacted = 520;  // XSTATE_BV, XCOMP_BV

}  // namespace

bool Block::saves_extended_state(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
      return true;
    default:
      return false;
  }
}

// No flag changes: bits are taken by pext and pdep.
void Block::save_extended_state(const Instruction& in) {
  const bool compacts =
      in.info.mnemonic == ZYDIS_MNEMONIC_XSAVEC || in.info.mnemonic == ZYDIS_MNEMONIC_XSAVEC64;
  if (lent_) take_back(in.pc);
  const Spills spills{{Register::rax, 0}, {Register::rcx, 1}, {Register::rdx, 2}};
  for (const auto& [reg, slot] : spills) spill(reg, slot);
  origin(in.pc, spills);
  OperandAccess access;
  for (unsigned i = 0; i < in.info.operand_count; ++i)
    if (in.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) access.index = i;
  load_address(in, access);
  a_.mov(x86::rcx, x86::rax);
  unspill(Register::rax, 0);
  a_.mov(x86::edx, 7);
  a_.pext(x86::rax, x86::rax, x86::rdx);  // the components asked for
  a_.mov(x86::edx, 0);
  // All of the area is written here, or the instruction faults.
  check(in.info.raw.rex.W ? a_.xsave64(x86::ptr(x86::rcx)) : a_.xsave(x86::ptr(x86::rcx)), "xsave");

  if (compacts) {
    a_.mov(x86::ptr(x86::rcx, kInUse, 8), x86::rax);
    a_.mov(x86::rdx, imm(uint64_t{1} << 63));
    a_.lea(x86::rdx, x86::ptr(x86::rdx, x86::rax));
    a_.mov(x86::ptr(x86::rcx, kCompacted, 8), x86::rdx);
  } else {
    // Or: what neither has, inverted.
    a_.mov(x86::rdx, x86::ptr(x86::rcx, kInUse, 8));
    a_.not_(x86::rdx);
    a_.not_(x86::rax);
    a_.pext(x86::rdx, x86::rdx, x86::rax);
    a_.pdep(x86::rdx, x86::rdx, x86::rax);
    a_.not_(x86::rdx);
    a_.not_(x86::rax);
    a_.mov(x86::ptr(x86::rcx, kInUse, 8), x86::rdx);
  }
  // As with fxsave, the last x87 instruction shows as none; see hide_x87_pointers.
  const Label no_x87 = a_.newLabel(), no_sse = a_.newLabel();
  a_.mov(x86::rdx, x86::rcx);
  a_.mov(x86::ecx, 1);
  a_.pext(x86::rcx, x86::rax, x86::rcx);
  check(a_.jecxz(x86::rcx, no_x87), "xsave");
  a_.mov(x86::ptr(x86::rdx, kX87Opcode, 2), imm(0));
  a_.mov(x86::ptr(x86::rdx, kX87Instruction, 8), imm(0));
  a_.mov(x86::ptr(x86::rdx, kX87Operand, 8), imm(0));
  a_.bind(no_x87);
  a_.mov(x86::ecx, 6);
  a_.pext(x86::rcx, x86::rax, x86::rcx);
  check(a_.jecxz(x86::rcx, no_sse), "xsave");
  a_.mov(x86::ptr(x86::rdx, kMxcsrMask, 4), imm(0xffff));
  a_.bind(no_sse);
  for (const auto& [reg, slot] : spills) unspill(reg, slot);
  origin(in.next());
}

}  // namespace heddle::translator
