// Instructions that translate to themselves, but for operands relative to rip.
#include <cstring>
#include <stdexcept>

#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

bool Block::stores_x87_pointers(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
      return true;
    default:
      return false;
  }
}

bool Block::is_far(uint64_t address) const {
  constexpr int64_t kNear = 0x7f00'0000;  // leaves room for what this block has yet to emit
  const auto distance = static_cast<int64_t>(address - host_base_);
  return distance > kNear || distance < -kNear;
}

std::optional<uint64_t> Block::far_address(const Instruction& in) const {
  for (unsigned i = 0; i < in.info.operand_count; ++i) {
    const auto& op = in.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_MEMORY || op.mem.base != ZYDIS_REGISTER_RIP) continue;
    const uint64_t target = in.next() + static_cast<uint64_t>(op.mem.disp.value);
    if (is_far(target)) return target;
  }
  return std::nullopt;
}

// The instruction with [scratch] in the place of its RIP-relative operand.
void Block::copy_far(const Instruction& in, uint64_t address) {
  const auto scratch = scratch_for(in, false);
  if (!scratch)
    throw std::range_error("an operand is out of the code cache's reach at " + bytes_text(in));
  const auto& raw = in.info.raw;
  auto code = in.bytes;
  const size_t modrm = raw.modrm.offset, rest = raw.disp.offset + size_t{4};
  code[modrm] = static_cast<uint8_t>((code[modrm] & 0x38) | static_cast<unsigned>(*scratch));
  // The bits that number a register above seven, which mean nothing with RIP.
  if (in.info.attributes & ZYDIS_ATTRIB_HAS_REX) code[raw.rex.offset] &= 0xfe;
  if (in.info.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && raw.vex.size == 3)
    code[raw.vex.offset + 1] |= 0x20;
  if (in.info.encoding == ZYDIS_INSTRUCTION_ENCODING_XOP) code[raw.xop.offset + 1] |= 0x20;
  if (in.info.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) code[raw.evex.offset + 1] |= 0x60;
  spill(*scratch, 3);
  origin(in.pc, spills().with({*scratch, 3}));
  check(a_.mov(gp(*scratch), imm(address)), "a far address");
  check(a_.embed(code.data(), modrm + 1), "a copied instruction");
  check(a_.embed(code.data() + rest, in.info.length - rest), "a copied instruction");
  unspill(*scratch, 3);
  origin(in.next());
}

void Block::copy(const Instruction& in) {
  if (const auto address = far_address(in)) {
    copy_far(in, *address);
    return;
  }
  auto code = in.bytes;
  for (unsigned i = 0; i < in.info.operand_count; ++i) {
    const auto& op = in.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_MEMORY || op.mem.base != ZYDIS_REGISTER_RIP) continue;
    const uint64_t target = in.next() + static_cast<uint64_t>(op.mem.disp.value);
    const auto moved = static_cast<int64_t>(target - (host_base_ + offset() + in.info.length));
    if (moved != static_cast<int32_t>(moved))
      throw std::range_error("an operand is out of the code cache's reach at " + bytes_text(in));
    const auto displacement = static_cast<int32_t>(moved);
    std::memcpy(code.data() + in.info.raw.disp.offset, &displacement, sizeof displacement);
    break;
  }
  check(a_.embed(code.data(), in.info.length), "a copied instruction");
  hide_x87_pointers(in);
}

// fnstenv, fnsave and fxsave store where the last x87 instruction was, an address of the code
// cache, and what it was; segments and, with some vendors, all of it are lost when the kernel
// switches tasks. They show as 0.
void Block::hide_x87_pointers(const Instruction& in) {
  const auto clear = [&](int32_t at, uint32_t size) {
    Mem field = memory(in, 0, true);
    field.addOffset(at);
    field.setSize(size);
    check(a_.mov(field, imm(0)), "x87 pointers");
  };
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FNSAVE:
      if (in.info.operand_width == 16) {
        clear(6, 8);
      } else {
        clear(12, 8);
        clear(20, 8);
      }
      break;
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
      clear(6, 2);
      clear(8, 8);
      clear(16, 8);
      break;
    default:
      break;
  }
}

}  // namespace heddle::translator
