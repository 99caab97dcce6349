// The access log of AVX2's gathers: one entry for each element that the mask selects.
#include <algorithm>

#include "machine/access.h"
#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

namespace {

// Room behind the task's state, in its page: the index and the mask register.
constexpr uint32_t kIndexes = 0xf80, kMask = 0xfc0;
static_assert(sizeof(heddle_task_state) <= kIndexes);

struct Gather {
  uint32_t index_size;  // bytes
  uint32_t data_size;
};

std::optional<Gather> gather(const Instruction& in) {
  if (in.info.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) return std::nullopt;
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_VPGATHERDD:
    case ZYDIS_MNEMONIC_VGATHERDPS:
      return Gather{4, 4};
    case ZYDIS_MNEMONIC_VPGATHERDQ:
    case ZYDIS_MNEMONIC_VGATHERDPD:
      return Gather{4, 8};
    case ZYDIS_MNEMONIC_VPGATHERQD:
    case ZYDIS_MNEMONIC_VGATHERQPS:
      return Gather{8, 4};
    case ZYDIS_MNEMONIC_VPGATHERQQ:
    case ZYDIS_MNEMONIC_VGATHERQPD:
      return Gather{8, 8};
    default:
      return std::nullopt;
  }
}

x86::Ymm vector(ZydisRegister reg) {
  const ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
  return x86::ymm(static_cast<uint32_t>(full - ZYDIS_REGISTER_ZMM0));
}

}  // namespace

// No flag changes: shrx finds the mask's bits, which a processor with AVX2 has.
bool Block::log_gather(const Instruction& in) {
  const auto what = gather(in);
  if (!what) return false;
  const auto& mem = in.operands[1].mem;
  if (in.info.address_width != 64) return false;
  const uint32_t elements =
      in.info.avx.vector_length / 8 / std::max(what->index_size, what->data_size);
  const Spills spills{{Register::rax, 0}, {Register::rcx, 1}, {Register::rdx, 2}};
  for (const auto& [reg, slot] : spills) spill(reg, slot);
  origin(in.pc, spills);
  check(a_.vmovups(state(kIndexes, 32), vector(mem.index)), "a gather");
  check(a_.vmovups(state(kMask, 32), vector(in.operands[2].reg.value)), "a gather");
  const auto base = general_register(mem.base);
  uint32_t shift = 0;
  while ((1u << shift) < mem.scale) ++shift;
  for (uint32_t i = 0; i < elements; ++i) {
    const Label left_out = a_.newLabel();
    if (what->data_size == 4)
      a_.mov(x86::ecx, state(kMask + 4 * i, 4));
    else
      a_.mov(x86::rcx, state(kMask + 8 * i));
    a_.mov(x86::edx, 8 * what->data_size - 1);
    a_.shrx(x86::rcx, x86::rcx, x86::rdx);
    const Label selected = a_.newLabel();
    check(a_.jecxz(x86::rcx, left_out), "a gather");
    check(a_.short_().jmp(selected), "a gather");
    a_.bind(left_out);
    const Label next = a_.newLabel();
    check(a_.jmp(next), "a gather");
    a_.bind(selected);
    if (what->index_size == 4)
      a_.movsxd(x86::rax, state(kIndexes + 4 * i, 4));
    else
      a_.mov(x86::rax, state(kIndexes + 8 * i));
    const auto displacement = static_cast<int32_t>(mem.disp.value);
    if (!base) {
      a_.lea(x86::rax, x86::ptr(static_cast<uint64_t>(mem.disp.value), x86::rax, shift));
    } else {
      // rax, rcx and rdx are in their slots.
      Gp from = gp(*base);
      for (const auto& [reg, slot] : spills) {
        if (reg != *base) continue;
        unspill(Register::rdx, slot);
        from = x86::rdx;
      }
      a_.lea(x86::rax, x86::ptr(from, x86::rax, shift, displacement));
    }
    if (mem.segment == ZYDIS_REGISTER_FS) {
      a_.mov(x86::rcx, state(HEDDLE_STATE_FS_BASE));
      a_.lea(x86::rax, x86::ptr(x86::rax, x86::rcx));
    }
    log_entry(in.pc, spills);
    a_.mov(x86::ptr(x86::rcx, 24, 4), imm(what->data_size));
    a_.mov(x86::ptr(x86::rcx, 28, 4), imm(static_cast<uint32_t>(AccessKind::read)));
    a_.lea(x86::rcx, x86::ptr(x86::rcx, 32));
    a_.mov(state(HEDDLE_STATE_ACCESS_NEXT), x86::rcx);
    a_.bind(next);
  }
  for (const auto& [reg, slot] : spills) unspill(reg, slot);
  return true;
}

}  // namespace heddle::translator
