#include "machine/translator/operand.h"

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
      return ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, reg) == 32 ? v & 0xffffffff : v;
    };
    MemoryOperand operand;
    operand.address =
        value(m.base) + value(m.index) * m.scale + static_cast<uint64_t>(m.disp.value);
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
