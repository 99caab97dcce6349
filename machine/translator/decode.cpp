#include "machine/translator/decode.h"

#include <cstdio>

namespace heddle::translator {
namespace {

const ZydisDecoder& decoder() {
  static const ZydisDecoder instance = [] {
    ZydisDecoder d;
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return d;
  }();
  return instance;
}

bool has_prefix(const Instruction& in, uint8_t prefix) {
  for (unsigned i = 0; i < in.info.raw.prefix_count; ++i)
    if (in.info.raw.prefixes[i].value == prefix) return true;
  return false;
}

bool bit_test(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTS:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::optional<Instruction> decode(const CodeSource& source, uint64_t pc,
                                  std::optional<uint8_t>* cut_at) {
  Instruction instruction;
  instruction.pc = pc;
  const size_t got = source.read(pc, std::span(instruction.bytes).first(15));
  const ZyanStatus status =
      got == 0 ? ZYDIS_STATUS_NO_MORE_DATA
               : ZydisDecoderDecodeFull(&decoder(), instruction.bytes.data(), got,
                                        &instruction.info, instruction.operands.data());
  if (ZYAN_SUCCESS(status)) return instruction;
  if (cut_at && got < 15 && status == ZYDIS_STATUS_NO_MORE_DATA)
    *cut_at = static_cast<uint8_t>(got);
  return std::nullopt;
}

std::string bytes_text(const Instruction& instruction) {
  char text[64];
  std::snprintf(text, sizeof text, "0x%llx:", static_cast<unsigned long long>(instruction.pc));
  std::string out = text;
  for (unsigned i = 0; i < instruction.info.length; ++i) {
    std::snprintf(text, sizeof text, " %02x", instruction.bytes[i]);
    out += text;
  }
  return out;
}

uint64_t direct_target(const Instruction& instruction) {
  return instruction.next() + static_cast<uint64_t>(instruction.operands[0].imm.value.s);
}

std::optional<Register> general_register(ZydisRegister reg) {
  const ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
  if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15) return std::nullopt;
  return static_cast<Register>(full - ZYDIS_REGISTER_RAX);
}

bool refused(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_INT: {
      // Gates that user code may enter: int3, into, and system calls of 32-bit programs. All others
      // are general protection faults.
      const auto vector = in.operands[0].imm.value.u & 0xff;
      return vector == 3 || vector == 4 || vector == 0x80;
    }
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
    // Counters and facts of the host.
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDPRU:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_STR:
      return true;
    default:
      break;
  }
  const bool branch = in.info.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
                      in.info.meta.category == ZYDIS_CATEGORY_RET;
  if (in.info.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return true;
  // Intel ignores the operand size prefix of a near branch, AMD cuts its target to 16 bits.
  if (branch && !in.info.raw.rex.W && has_prefix(in, 0x66)) return true;
  for (unsigned i = 0; i < in.info.operand_count; ++i) {
    const auto& op = in.operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER && op.reg.value >= ZYDIS_REGISTER_ES &&
        op.reg.value <= ZYDIS_REGISTER_GS && (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
      return true;
    if (op.type != ZYDIS_OPERAND_TYPE_MEMORY || in.info.mnemonic == ZYDIS_MNEMONIC_NOP) continue;
    if (op.mem.segment == ZYDIS_REGISTER_GS || op.mem.base == ZYDIS_REGISTER_EIP) return true;
  }
  return false;
}

std::vector<OperandAccess> accesses(const Instruction& in) {
  std::vector<OperandAccess> found;
  switch (in.info.meta.category) {
    case ZYDIS_CATEGORY_NOP:
    case ZYDIS_CATEGORY_WIDENOP:
    case ZYDIS_CATEGORY_PREFETCH:
    case ZYDIS_CATEGORY_GATHER:
    case ZYDIS_CATEGORY_SCATTER:
      return found;
    default:
      break;
  }
  if (in.info.mnemonic == ZYDIS_MNEMONIC_LEA) return found;
  const bool string = in.info.meta.category == ZYDIS_CATEGORY_STRINGOP;
  for (unsigned i = 0; i < in.info.operand_count; ++i) {
    const auto& op = in.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_MEMORY || op.mem.type != ZYDIS_MEMOP_TYPE_MEM) continue;
    if (op.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && !string &&
        in.info.mnemonic != ZYDIS_MNEMONIC_XLAT)
      continue;
    OperandAccess access;
    access.index = i;
    access.size = op.size / 8;
    access.read = op.actions & ZYDIS_OPERAND_ACTION_MASK_READ;
    access.written = op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    access.locked =
        (in.info.attributes & ZYDIS_ATTRIB_HAS_LOCK) || in.info.mnemonic == ZYDIS_MNEMONIC_XCHG;
    access.repeated = string && (in.info.attributes & ZYDIS_ATTRIB_HAS_REP);
    access.bit_string = bit_test(in) && in.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
    if (in.info.mnemonic == ZYDIS_MNEMONIC_POP && op.mem.base == ZYDIS_REGISTER_RSP)
      access.stack_offset = static_cast<uint8_t>(access.size);
    if (access.size != 0 && (access.read || access.written)) found.push_back(access);
  }
  return found;
}

}  // namespace heddle::translator
