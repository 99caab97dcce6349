#include "tests/differential/random_instruction.h"

#include <Zydis/Zydis.h>

#include <array>
#include <cstring>
#include <optional>
#include <stdexcept>

namespace heddle::differential {
namespace {

struct Decoded {
  ZydisDecodedInstruction info{};
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

std::optional<Decoded> decode(const uint8_t* bytes, size_t size) {
  static const ZydisDecoder decoder = [] {
    ZydisDecoder d;
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return d;
  }();
  Decoded d;
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, size, &d.info, d.operands)))
    return std::nullopt;
  return d;
}

bool wanted_extension(ZydisISAExt extension) {
  switch (extension) {
    case ZYDIS_ISA_EXT_BASE:
    case ZYDIS_ISA_EXT_LONGMODE:
    case ZYDIS_ISA_EXT_X87:
    case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2:
    case ZYDIS_ISA_EXT_SSE3:
    case ZYDIS_ISA_EXT_SSSE3:
    case ZYDIS_ISA_EXT_SSE4:
    case ZYDIS_ISA_EXT_AES:
    case ZYDIS_ISA_EXT_PCLMULQDQ:
    case ZYDIS_ISA_EXT_AVX:
    case ZYDIS_ISA_EXT_AVX2:
    case ZYDIS_ISA_EXT_AVXAES:
    case ZYDIS_ISA_EXT_F16C:
    case ZYDIS_ISA_EXT_FMA:
    case ZYDIS_ISA_EXT_BMI1:
    case ZYDIS_ISA_EXT_BMI2:
    case ZYDIS_ISA_EXT_LZCNT:
    case ZYDIS_ISA_EXT_ADOX_ADCX:
    case ZYDIS_ISA_EXT_MOVBE:
    case ZYDIS_ISA_EXT_SHA:
    case ZYDIS_ISA_EXT_GFNI:
      return true;
    default:
      return false;
  }
}

bool wanted_mnemonic(ZydisMnemonic mnemonic, const InstructionRules& rules) {
  switch (mnemonic) {
    // Templates make these, with operands that suit them.
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_LEAVE:
    case ZYDIS_MNEMONIC_XLAT:
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
    case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_STI:
    case ZYDIS_MNEMONIC_LDMXCSR:
    case ZYDIS_MNEMONIC_VLDMXCSR:
    // These store the address of the last x87 instruction, or load one.
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    // Exits of the translator.
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_STR:
      return false;
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFQ:
      return rules.stack;
    default:
      return true;
  }
}

bool wanted_category(ZydisInstructionCategory category) {
  switch (category) {
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_UNCOND_BR:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_IO:
    case ZYDIS_CATEGORY_IOSTRINGOP:
    case ZYDIS_CATEGORY_SEGOP:
    case ZYDIS_CATEGORY_STRINGOP:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_SYSTEM:
    case ZYDIS_CATEGORY_AVX2GATHER:
    case ZYDIS_CATEGORY_GATHER:
    case ZYDIS_CATEGORY_SCATTER:
      return false;
    default:
      return true;
  }
}

bool reserved(ZydisRegister reg) {
  switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)) {
    case ZYDIS_REGISTER_RSP:
    case ZYDIS_REGISTER_RBP:
    case ZYDIS_REGISTER_R10:
    case ZYDIS_REGISTER_R11:
    case ZYDIS_REGISTER_R12:
    case ZYDIS_REGISTER_R13:
      return true;
    default:
      return false;
  }
}

bool uses_stack(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_PUSH || mnemonic == ZYDIS_MNEMONIC_POP ||
         mnemonic == ZYDIS_MNEMONIC_PUSHF || mnemonic == ZYDIS_MNEMONIC_PUSHFQ;
}

bool acceptable(const Decoded& d, const InstructionRules& rules) {
  if (!wanted_extension(d.info.meta.isa_ext) || !wanted_category(d.info.meta.category) ||
      !wanted_mnemonic(d.info.mnemonic, rules) ||
      (d.info.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) ||
      d.info.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
    return false;
  for (unsigned i = 0; i < d.info.operand_count; ++i) {
    const auto& op = d.operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER && (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)) {
      const bool stack =
          uses_stack(d.info.mnemonic) && op.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
      if (reserved(op.reg.value) && !stack) return false;
      if (op.reg.value >= ZYDIS_REGISTER_ES && op.reg.value <= ZYDIS_REGISTER_GS) return false;
    }
    if (op.type == ZYDIS_OPERAND_TYPE_MEMORY && op.mem.segment == ZYDIS_REGISTER_GS) return false;
  }
  return true;
}

// Prefixes, opcode, and 12 random bytes that may become modrm and immediates.
std::array<uint8_t, 24> random_bytes(Random& random, size_t* size) {
  std::array<uint8_t, 24> out{};
  size_t n = 0;
  const auto put = [&](uint64_t byte) { out[n++] = static_cast<uint8_t>(byte); };
  const bool vex = chance(random, 45);
  if (chance(random, 4)) put(0x64);
  if (chance(random, 2)) put(std::array{0x2e, 0x36, 0x3e, 0x26}[below(random, 4)]);
  if (!vex) {
    if (chance(random, 25)) put(0x66);
    if (chance(random, 20)) put(chance(random, 50) ? 0xf2 : 0xf3);
    if (chance(random, 12)) put(0xf0);
    if (chance(random, 50)) put(0x40 | below(random, 16));
    const auto map = below(random, 100);
    if (map >= 50) put(0x0f);
    if (map >= 85) put(map >= 95 ? 0x3a : 0x38);
    put(random());
  } else if (chance(random, 40)) {
    put(0xc5);
    put(random());
    put(random());
  } else {
    put(0xc4);
    put((random() & 0xe0) | (1 + below(random, 3)));
    put(random());
    put(random());
  }
  *size = n;
  for (size_t i = n; i < out.size(); ++i) out[i] = static_cast<uint8_t>(random());
  return out;
}

// The instruction with its memory operand led into the sandbox.
std::optional<Item> with_memory(Random& random, const InstructionRules& rules, const uint8_t* bytes,
                                const Decoded& d, const ZydisDecodedOperand& op) {
  if (d.info.raw.modrm.offset == 0 || d.info.address_width != 64) return std::nullopt;
  const size_t modrm = d.info.raw.modrm.offset;
  const size_t rest = modrm + 1 + (d.info.raw.sib.offset != 0) + d.info.raw.disp.size / 8;
  const auto reg = static_cast<uint8_t>(bytes[modrm] & 0x38);
  Item item;
  item.bytes.assign(bytes, bytes + modrm);
  const bool fs = op.mem.segment == ZYDIS_REGISTER_FS;
  // Mostly aligned as vectors need it, and clear of the areas' ends for the largest operand.
  const bool aligned = op.size >= 128 ? !chance(random, 5) : chance(random, 40);
  const auto offset = static_cast<int32_t>(below(random, 0x700)) - 0x380;
  const auto displacement = aligned ? offset & ~63 : offset;
  const auto shape = fs ? 3 : below(random, 10);
  const auto put32 = [&](int32_t value) {
    for (int i = 0; i < 4; ++i) item.bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  if (shape < 2) {  // [rip + disp32]
    item.bytes.push_back(static_cast<uint8_t>(reg | 5));
    item.kind = Item::Kind::data;
    item.displacement_at = static_cast<uint8_t>(item.bytes.size());
    item.data =
        rules.placement.data() + 0x1000 + static_cast<uint64_t>(static_cast<int64_t>(displacement));
    put32(0);
  } else if (shape < 3) {  // [rsp or r12 + disp8]
    item.bytes.push_back(static_cast<uint8_t>(0x40 | reg | 4));
    item.bytes.push_back(0x24);
    item.bytes.push_back(static_cast<uint8_t>(displacement));
  } else if (fs) {  // fs:[disp32]
    item.bytes.push_back(static_cast<uint8_t>(reg | 4));
    item.bytes.push_back(0x25);
    put32(displacement);
  } else if (shape < 5) {  // [base + r10 * scale + disp32], without an index where X is clear
    const auto index = static_cast<uint8_t>(4 << 3);
    const auto indexed = static_cast<uint8_t>((below(random, 3) << 6) | 2 << 3);
    for (const uint8_t sib : {indexed, index}) {
      auto attempt = item;
      attempt.bytes.push_back(static_cast<uint8_t>(0x80 | reg | 4));
      attempt.bytes.push_back(sib | 5);
      for (int i = 0; i < 4; ++i)
        attempt.bytes.push_back(static_cast<uint8_t>(displacement >> (8 * i)));
      attempt.bytes.insert(attempt.bytes.end(), bytes + rest, bytes + d.info.length);
      const auto again = decode(attempt.bytes.data(), attempt.bytes.size());
      if (!again) continue;
      for (unsigned i = 0; i < again->info.operand_count; ++i) {
        const auto& mem = again->operands[i];
        if (mem.type == ZYDIS_OPERAND_TYPE_MEMORY && mem.mem.base != ZYDIS_REGISTER_RSP &&
            (mem.mem.index == ZYDIS_REGISTER_NONE || mem.mem.index == ZYDIS_REGISTER_R10))
          return attempt;
      }
    }
    return std::nullopt;
  } else if (shape < 8) {  // [rbp or r13 + disp32]
    item.bytes.push_back(static_cast<uint8_t>(0x80 | reg | 5));
    put32(displacement);
  } else {  // [rbp or r13 + disp8]
    item.bytes.push_back(static_cast<uint8_t>(0x40 | reg | 5));
    item.bytes.push_back(static_cast<uint8_t>(aligned ? displacement & 0xc0 : displacement));
  }
  item.bytes.insert(item.bytes.end(), bytes + rest, bytes + d.info.length);
  return item;
}

}  // namespace

Item random_instruction(Random& random, const InstructionRules& rules) {
  while (true) {
    size_t size = 0;
    auto bytes = random_bytes(random, &size);
    auto d = decode(bytes.data(), 15);
    if (!d || !acceptable(*d, rules)) continue;
    const ZydisDecodedOperand* explicit_memory = nullptr;
    bool implicit_memory = false;
    for (unsigned i = 0; i < d->info.operand_count; ++i) {
      const auto& op = d->operands[i];
      if (op.type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
      if (op.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
        implicit_memory = true;
      else
        explicit_memory = &op;
    }
    if (implicit_memory && !uses_stack(d->info.mnemonic)) continue;
    std::optional<Item> item;
    if (explicit_memory) {
      // A bit string with a register offset reaches anywhere.
      const auto mnemonic = d->info.mnemonic;
      if ((mnemonic == ZYDIS_MNEMONIC_BT || mnemonic == ZYDIS_MNEMONIC_BTC ||
           mnemonic == ZYDIS_MNEMONIC_BTR || mnemonic == ZYDIS_MNEMONIC_BTS) &&
          d->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
        continue;
      item = with_memory(random, rules, bytes.data(), *d, *explicit_memory);
      if (!item || item->bytes.size() > 15) continue;
      const auto again = decode(item->bytes.data(), item->bytes.size());
      if (!again || again->info.length != item->bytes.size() || !acceptable(*again, rules))
        continue;
      bool led = true;
      for (unsigned i = 0; i < again->info.operand_count; ++i) {
        const auto& op = again->operands[i];
        if (op.type != ZYDIS_OPERAND_TYPE_MEMORY ||
            op.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
          continue;
        led = led &&
              (op.mem.base == ZYDIS_REGISTER_NONE || op.mem.base == ZYDIS_REGISTER_RIP ||
               reserved(op.mem.base)) &&
              (op.mem.index == ZYDIS_REGISTER_NONE || op.mem.index == ZYDIS_REGISTER_R10);
      }
      if (!led) continue;
    } else {
      item = Item{};
      item->bytes.assign(bytes.begin(), bytes.begin() + d->info.length);
    }
    return *item;
  }
}

}  // namespace heddle::differential
