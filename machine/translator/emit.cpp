#include <stdexcept>

#include "machine/tracee/layout.h"
#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

Block::Mem Block::state(uint32_t offset, uint32_t size) {
  Mem m = x86::ptr_abs(offset, size);
  m.setSegment(x86::gs);
  return m;
}

Block::Gp Block::gp(Register reg, uint32_t size) {
  const auto id = static_cast<uint32_t>(reg);
  switch (size) {
    case 1:
      return x86::gpb_lo(id);
    case 2:
      return x86::gpw(id);
    case 4:
      return x86::gpd(id);
    default:
      return x86::gpq(id);
  }
}

Block::Mem Block::memory(const Instruction& in, unsigned operand, bool with_segment) const {
  const auto& op = in.operands[operand];
  const auto& m = op.mem;
  const uint32_t size = op.size / 8;
  Mem out;
  const bool narrow = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, m.base) == 32 ||
                      ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, m.index) == 32;
  const auto reg = [&](ZydisRegister r) -> Gp {
    const auto number = general_register(r);
    if (!number) throw std::range_error("an address of unusual registers at " + bytes_text(in));
    return narrow ? Gp(x86::gpd(static_cast<uint32_t>(*number)))
                  : Gp(x86::gpq(static_cast<uint32_t>(*number)));
  };
  if (m.base == ZYDIS_REGISTER_RIP) {
    const uint64_t address = in.next() + static_cast<uint64_t>(m.disp.value);
    out = static_cast<int64_t>(address) == static_cast<int32_t>(address)
              ? x86::ptr_abs(address, size)
              : x86::ptr_rel(address, size);
  } else if (m.base == ZYDIS_REGISTER_NONE && m.index == ZYDIS_REGISTER_NONE) {
    out = x86::ptr_abs(static_cast<uint64_t>(m.disp.value), size);
  } else {
    uint32_t shift = 0;
    while ((1u << shift) < m.scale) ++shift;
    const auto disp = static_cast<int32_t>(m.disp.value);
    if (m.base == ZYDIS_REGISTER_NONE)
      out = x86::ptr(static_cast<uint64_t>(m.disp.value), reg(m.index), shift, size);
    else if (m.index == ZYDIS_REGISTER_NONE)
      out = x86::ptr(reg(m.base), disp, size);
    else
      out = x86::ptr(reg(m.base), reg(m.index), shift, disp, size);
  }
  if (with_segment && m.segment == ZYDIS_REGISTER_FS) out.setSegment(x86::fs);
  return out;
}

void Block::check(Error error, const char* what) const {
  if (error != kErrorOk)
    throw std::logic_error(std::string("emitting ") + what + ": " +
                           DebugUtils::errorAsString(error));
}

void Block::hot(std::initializer_list<uint8_t> opcode, uint8_t reg, uint32_t field,
                uint32_t immediate) {
  bytes(opcode);
  const uint64_t end = host_base_ + offset() + 5 + immediate;
  const auto to = static_cast<uint32_t>(layout::hot_state(host_base_) + field - end);
  bytes({static_cast<uint8_t>(5 | (reg & 7) << 3), static_cast<uint8_t>(to),
         static_cast<uint8_t>(to >> 8), static_cast<uint8_t>(to >> 16),
         static_cast<uint8_t>(to >> 24)});
}

void Block::hot_load(Register reg, uint32_t field) {
  const auto number = static_cast<uint8_t>(reg);
  hot({static_cast<uint8_t>(0x48 | (number >> 3) << 2), 0x8b}, number, field);
}

void Block::hot_store(Register reg, uint32_t field) {
  const auto number = static_cast<uint8_t>(reg);
  hot({static_cast<uint8_t>(0x48 | (number >> 3) << 2), 0x89}, number, field);
}

void Block::tick(uint8_t ticks) {
  hot({0x48, 0x83}, 5, ticks_left(), 1);
  bytes({ticks});
}

void Block::spill(Register reg, uint8_t slot) {
  hot_store(reg, HEDDLE_HOT_SPILL + 8u * slot);
}

void Block::unspill(Register reg, uint8_t slot) {
  hot_load(reg, HEDDLE_HOT_SPILL + 8u * slot);
}

void Block::origin(uint64_t pc, Spills spills, bool access_log) {
  if (!t_.origins.empty() && t_.origins.back().offset == offset()) t_.origins.pop_back();
  t_.origins.push_back({offset(), pc, spills, access_log});
}

ExitSite& Block::exit(ExitKind kind, uint64_t pc) {
  ExitSite site;
  site.offset = offset();
  site.kind = kind;
  site.pc = pc;
  site.spills = spills();
  if (options_.resident) {
    check(a_.mov(state(HEDDLE_STATE_EXIT, 4), imm(static_cast<uint32_t>(host_base_ + offset()))),
          "an exit");
    check(a_.jmp(state(HEDDLE_STATE_EXIT_ENTRY)), "an exit");
  } else {
    bytes({0xcc});
  }
  t_.exits.push_back(site);
  return t_.exits.back();
}

// Asks for the link by its own address (machine/runtime/misses.c).
void Block::link_exit(uint64_t pc) {
  // With a stop the machine sees whether it may be there.
  if (options_.stop || options_.resident) {
    exit(ExitKind::link, pc);
    return;
  }
  ExitSite site;
  site.offset = offset();
  site.kind = ExitKind::link;
  site.pc = pc;
  site.spills = spills();
  t_.exits.push_back(site);
  const auto here = static_cast<uint32_t>(host_base_ + offset());
  hot({0xc7}, 0, HEDDLE_HOT_MISS_REQUEST, 4);
  bytes({static_cast<uint8_t>(here), static_cast<uint8_t>(here >> 8),
         static_cast<uint8_t>(here >> 16), static_cast<uint8_t>(here >> 24)});
  hot({0xff}, 4, HEDDLE_HOT_MISS_ENTRY);
}

void Block::budget_exit(uint64_t pc, const Spills& spills) {
  if (!options_.fast) {
    exit(ExitKind::budget, pc).spills = spills;
    return;
  }
  ExitSite site;
  site.offset = offset();
  site.kind = ExitKind::budget;
  site.pc = pc;
  site.spills = spills;
  t_.exits.push_back(site);
  const auto here = static_cast<uint32_t>(host_base_ + offset());
  hot({0xc7}, 0, HEDDLE_HOT_BUDGET_SITE, 4);
  bytes({static_cast<uint8_t>(here), static_cast<uint8_t>(here >> 8),
         static_cast<uint8_t>(here >> 16), static_cast<uint8_t>(here >> 24)});
  hot({0xff}, 4, HEDDLE_HOT_BUDGET_ENTRY);
}

// Ticks near each other take different counters.
uint32_t Block::ticks_left() const {
  if (!options_.fast) return HEDDLE_HOT_TICKS_LEFT;
  const auto number = static_cast<uint32_t>(at_ * 0x9e37'79b9'7f4a'7c15 >> 61);
  if (number == 0) return HEDDLE_HOT_TICKS_LEFT;
  return HEDDLE_HOT_TICKS_MORE + 8 * (number - 1);
}

void Block::bytes(std::initializer_list<uint8_t> code) {
  check(a_.embed(code.begin(), code.size()), "bytes");
}

void Block::constant_operand(uint64_t value) {
  constants_.push_back({offset(), value});
  bytes({0, 0, 0, 0});
}

// mov dword gs:[offset], low; mov dword gs:[offset + 4], high. The immediates come last.
void Block::store_constant(uint32_t state_offset, uint64_t value) {
  check(a_.mov(state(state_offset, 4), imm(static_cast<uint32_t>(value))), "a constant");
  check(a_.mov(state(state_offset + 4, 4), imm(static_cast<uint32_t>(value >> 32))), "a constant");
}

void Block::store_address(uint32_t state_offset, const Label& label) {
  AddressField field;
  check(a_.mov(state(state_offset, 4), imm(0)), "an address");
  field.low = offset() - 4;
  check(a_.mov(state(state_offset + 4, 4), imm(0)), "an address");
  field.high = offset() - 4;
  field.label = label;
  addresses_.push_back(field);
}

}  // namespace heddle::translator
