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

}  // namespace

std::optional<Instruction> decode(const CodeSource& source, uint64_t pc, size_t* readable) {
  Instruction instruction;
  instruction.pc = pc;
  const size_t got = source.read(pc, std::span(instruction.bytes).first(15));
  if (readable) *readable = got;
  if (got == 0 ||
      !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder(), instruction.bytes.data(), got,
                                           &instruction.info, instruction.operands.data())))
    return std::nullopt;
  return instruction;
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
    if (op.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && !string) continue;
    OperandAccess access;
    access.index = i;
    access.size = op.size / 8;
    access.read = op.actions & ZYDIS_OPERAND_ACTION_MASK_READ;
    access.written = op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    access.locked =
        (in.info.attributes & ZYDIS_ATTRIB_HAS_LOCK) || in.info.mnemonic == ZYDIS_MNEMONIC_XCHG;
    access.repeated = string && (in.info.attributes & ZYDIS_ATTRIB_HAS_REP);
    if (access.size != 0 && (access.read || access.written)) found.push_back(access);
  }
  return found;
}

}  // namespace heddle::translator
