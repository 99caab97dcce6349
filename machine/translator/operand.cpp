#include "machine/translator/operand.h"

#include <algorithm>

#include "machine/translator/decode.h"

namespace heddle::translator {

std::vector<MemoryOperand> memory_operands(const CodeSource& source, const Registers& registers) {
  std::vector<MemoryOperand> found;
  const auto in = decode(source, registers[Register::rip]);
  if (!in) return found;
  for (const auto& access : accesses(*in)) {
    const auto& m = in->operands[access.index].mem;
    const auto value = [&](ZydisRegister reg) -> uint64_t {
      if (reg == ZYDIS_REGISTER_NONE) return 0;
      if (reg == ZYDIS_REGISTER_RIP) return in->next();
      const auto general = general_register(reg);
      const uint64_t v = general ? registers[*general] : 0;
      const unsigned width = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, reg);
      return width >= 64 ? v : v & ((uint64_t{1} << width) - 1);
    };
    MemoryOperand operand;
    operand.address = value(m.base) + access.stack_offset +
                      value(m.index) * std::max<unsigned>(m.scale, 1) +
                      static_cast<uint64_t>(m.disp.value);
    if (in->info.mnemonic == ZYDIS_MNEMONIC_XLAT)
      operand.address += registers[Register::rax] & 0xff;
    if (in->info.address_width == 32) operand.address &= 0xffffffff;
    if (access.bit_string) {
      const unsigned unused = 64 - access.size * 8;
      const auto bit = static_cast<int64_t>(value(in->operands[1].reg.value) << unused) >> unused;
      operand.address += static_cast<uint64_t>((bit >> (access.size == 2   ? 4
                                                        : access.size == 4 ? 5
                                                                           : 6)) *
                                               static_cast<int64_t>(access.size));
    }
    if (m.segment == ZYDIS_REGISTER_FS) operand.address += registers[Register::fs_base];
    operand.size = access.repeated ? static_cast<uint32_t>(access.size * registers[Register::rcx])
                                   : access.size;
    operand.kind = access.locked                   ? AccessKind::locked
                   : access.read && access.written ? AccessKind::update
                   : access.written                ? AccessKind::write
                                                   : AccessKind::read;
    found.push_back(operand);
  }
  return found;
}

unsigned instruction_length(const CodeSource& source, uint64_t pc) {
  const auto in = decode(source, pc);
  return in ? in->info.length : 0;
}

}  // namespace heddle::translator
