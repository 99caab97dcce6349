#include "machine/tracee/layout.h"
#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

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
  const Label zero = a_.newLabel(), hit = a_.newLabel();
  const std::vector<Spill> spills{{Register::rax, 0}, {Register::rcx, 1}};
  spill(Register::rcx, 1);
  count_tick(in.pc, spills);
  check(a_.jecxz(x86::rcx, zero), "a tick");
  // The entry's host address to rdx; rcx becomes 0 if the entry is the target's. No flag changes.
  a_.movzx(x86::ecx, x86::ax);
  spill(Register::rdx, 2);
  a_.lea(x86::ecx, x86::ptr(x86::rcx, x86::rcx));
  const uint64_t table = layout::kLookupTable.start;
  check(a_.mov(x86::rdx, x86::ptr(table + 8, x86::rcx, 3, 8)), "a look-up");
  check(a_.mov(x86::rcx, x86::ptr(table, x86::rcx, 3, 8)), "a look-up");
  a_.not_(x86::rcx);
  a_.lea(x86::rcx, x86::ptr(x86::rcx, x86::rax, 0, 1));
  check(a_.jecxz(x86::rcx, hit), "a look-up");
  unspill(Register::rdx, 2);
  auto& miss = exit(ExitKind::miss, 0);
  miss.pc_in_rax = true;
  miss.transfer = in.pc;
  miss.stack_change = stack_change;
  miss.spills = spills;
  a_.bind(zero);
  auto& budget = exit(ExitKind::budget, 0);
  budget.pc_in_rax = true;
  budget.transfer = in.pc;
  budget.stack_change = stack_change;
  budget.spills = spills;
  a_.bind(hit);
  a_.mov(state(HEDDLE_STATE_TARGET), x86::rdx);
  unspill(Register::rdx, 2);
  unspill(Register::rcx, 1);
  unspill(Register::rax, 0);
  check(a_.jmp(state(HEDDLE_STATE_TARGET)), "an indirect jump");
}

void Block::push_return_address(uint64_t address) {
  const auto low = static_cast<uint32_t>(address);
  bytes({0x68, static_cast<uint8_t>(low), static_cast<uint8_t>(low >> 8),
         static_cast<uint8_t>(low >> 16), static_cast<uint8_t>(low >> 24)});
  if (static_cast<int64_t>(address) != static_cast<int32_t>(address))
    check(a_.mov(x86::ptr(x86::rsp, 4, 4), imm(static_cast<uint32_t>(address >> 32))), "a call");
}

void Block::load_target(const Instruction& in) {
  spill(Register::rax, 0);
  origin(in.pc, {{Register::rax, 0}});
  const auto& op = in.operands[0];
  if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    check(a_.mov(x86::rax, memory(in, 0, true)), "an indirect target");
  } else {
    const auto reg = general_register(op.reg.value);
    if (reg != Register::rax) check(a_.mov(x86::rax, gp(*reg)), "an indirect target");
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
      spill(Register::rax, 0);
      origin(in.pc, {{Register::rax, 0}});
      a_.pop(x86::rax);
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
