#include "machine/tracee/layout.h"
#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

namespace {
const std::vector<Spill> kIndirectSpills{{Register::rcx, 1}, {Register::r11, 2}};
}

void Block::link(uint64_t target) {
  bytes({0xe9, 0, 0, 0, 0});
  links_.push_back({offset() - 4, target});
}

void Block::link_if(uint8_t condition, uint64_t target) {
  bytes({0x0f, static_cast<uint8_t>(0x80 | condition), 0, 0, 0, 0});
  links_.push_back({offset() - 4, target});
}

// No flag changes.
void Block::count_tick(uint64_t pc, const std::vector<Spill>& spills) {
  a_.mov(x86::rcx, state(HEDDLE_STATE_TICKS_LEFT));
  origin(pc, spills);
  t_.origins.back().counting = true;
  a_.lea(x86::rcx, x86::ptr(x86::rcx, -1));
  a_.mov(state(HEDDLE_STATE_TICKS_LEFT), x86::rcx);
  origin(pc, spills);
}

void Block::tick_and_link(uint64_t target) {
  origin(target);
  const Label zero = a_.newLabel();
  if (status_flags_dead(source_, target)) {
    check(a_.sub(state(HEDDLE_STATE_TICKS_LEFT), imm(1)), "a tick");
    check(a_.short_().jz(zero), "a tick");
    link(target);
    a_.bind(zero);
    exit(ExitKind::budget, target);
    return;
  }
  spill(Register::rcx, 1);
  count_tick(target, {{Register::rcx, 1}});
  check(a_.jecxz(x86::rcx, zero), "a tick");
  unspill(Register::rcx, 1);
  link(target);
  a_.bind(zero);
  unspill(Register::rcx, 1);
  exit(ExitKind::budget, target);
}

void Block::indirect(const Instruction& in, int32_t stack_change) {
  t_.indirects.push_back({offset(), in.pc, stack_change});
  a_.mov(state(HEDDLE_STATE_TRANSFER, 4), imm(static_cast<uint32_t>(host_base_ + offset())));
  a_.movzx(x86::r11d, x86::cx);
  check(a_.jmp(x86::ptr(layout::kLookupTable.start, x86::r11, 3, 8)), "an indirect transfer");
}

// The flags may be needed where another pad is the right one, so the comparison leaves them alone.
void Block::landing() {
  const Label other = a_.newLabel(), zero = a_.newLabel(), here = a_.newLabel();
  const auto negative = -static_cast<int64_t>(pc_);
  const bool low = negative == static_cast<int32_t>(negative) && negative != INT32_MIN;
  // Out of line, in front: the way to the next pad and the budget exit.
  origin(pc_, kIndirectSpills);
  a_.bind(other);
  if (!low) a_.mov(x86::r11, imm(pc_));
  a_.lea(x86::rcx,
         low ? x86::ptr(x86::rcx, static_cast<int32_t>(pc_)) : x86::ptr(x86::rcx, x86::r11));
  bytes({0xff, 0x25});  // jmp [rip + ...]
  constant_operand(0);
  a_.bind(zero);
  exit(ExitKind::budget, pc_).spills = kIndirectSpills;
  t_.landing = Landing{offset(), 0};
  if (!low) a_.mov(x86::r11, imm(negative));
  a_.lea(x86::rcx,
         low ? x86::ptr(x86::rcx, static_cast<int32_t>(negative)) : x86::ptr(x86::rcx, x86::r11));
  check(a_.jecxz(x86::rcx, here), "a landing pad");
  check(a_.short_().jmp(other), "a landing pad");
  a_.bind(here);
  if (status_flags_dead(source_, pc_)) {
    a_.sub(state(HEDDLE_STATE_TICKS_LEFT), imm(1));
    check(a_.short_().jz(zero), "a landing pad");
  } else {
    count_tick(pc_, kIndirectSpills);
    check(a_.jecxz(x86::rcx, zero), "a landing pad");
  }
  unspill(Register::r11, 2);
  unspill(Register::rcx, 1);
}

void Block::push_return_address(uint64_t address) {
  t_.returns.push_back(address);
  const auto low = static_cast<uint32_t>(address);
  if (static_cast<int64_t>(address) == static_cast<int32_t>(address)) {
    bytes({0x68, static_cast<uint8_t>(low), static_cast<uint8_t>(low >> 8),
           static_cast<uint8_t>(low >> 16), static_cast<uint8_t>(low >> 24)});
    return;
  }
  // One store of eight bytes: the return that reads them would wait for two of four.
  bytes({0xff, 0x35});  // push [rip + ...]
  constant_operand(address);
}

void Block::spill_for_indirect(uint64_t pc) {
  for (const auto& spilled : kIndirectSpills) spill(spilled.reg, spilled.slot);
  origin(pc, kIndirectSpills);
}

void Block::load_target(const Instruction& in) {
  spill_for_indirect(in.pc);
  const auto& op = in.operands[0];
  if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    check(a_.mov(x86::rcx, memory(in, 0, true)), "an indirect target");
  } else {
    const auto reg = general_register(op.reg.value);
    if (reg != Register::rcx) check(a_.mov(x86::rcx, gp(*reg)), "an indirect target");
  }
}

void Block::conditional(const Instruction& in) {
  const uint64_t target = direct_target(in);
  // The condition is the low nibble of the opcode in both encodings (0F 8x and 7x).
  const auto condition = static_cast<uint8_t>(in.info.opcode & 15);
  if (target > in.pc) {
    link_if(condition, target);
    return;
  }
  const Label over = a_.newLabel();
  // jncc over, by hand: asmjit numbers conditions its own way.
  const uint32_t at = offset();
  bytes({static_cast<uint8_t>(0x70 | (condition ^ 1)), 0});
  tick_and_link(target);
  a_.bind(over);
  const auto distance = static_cast<uint8_t>(offset() - (at + 2));
  code_.textSection()->buffer()[at + 1] = distance;
  origin(in.next());
}

void Block::counted_branch(const Instruction& in) {
  const uint64_t target = direct_target(in);
  const Label over = a_.newLabel();
  for (unsigned i = 0; i + 1 < in.info.length; ++i) bytes({in.bytes[i]});  // all but its rel8
  bytes({2});
  check(a_.short_().jmp(over), "a counted branch");
  if (target <= in.pc)
    tick_and_link(target);
  else
    link(target);
  a_.bind(over);
  origin(in.next());
}

bool Block::transfer(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_JRCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
      counted_branch(in);
      link(in.next());
      return true;
    case ZYDIS_MNEMONIC_JMP:
      if (in.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        const uint64_t target = direct_target(in);
        if (target <= in.pc)
          tick_and_link(target);
        else
          link(target);
      } else {
        load_target(in);
        indirect(in, 0);
      }
      return true;
    case ZYDIS_MNEMONIC_CALL:
      if (in.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        push_return_address(in.next());
        tick_and_link(direct_target(in));
      } else {
        load_target(in);
        push_return_address(in.next());
        indirect(in, -8);
      }
      return true;
    case ZYDIS_MNEMONIC_RET: {
      const auto extra = static_cast<int32_t>(
          in.info.raw.imm[0].size != 0 ? in.info.raw.imm[0].value.u & 0xffff : 0);
      spill_for_indirect(in.pc);
      a_.pop(x86::rcx);
      if (extra != 0) a_.lea(x86::rsp, x86::ptr(x86::rsp, extra));
      indirect(in, 8 + extra);
      return true;
    }
    default:
      break;
  }
  return false;
}

}  // namespace heddle::translator
