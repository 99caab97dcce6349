#include "machine/tracee/layout.h"
#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

namespace {

constexpr Spill kRcxInR10{Register::rcx, Spill::kHeld + static_cast<uint8_t>(Register::r10)};
constexpr Spill kRcxInR11{Register::rcx, Spill::kHeld + static_cast<uint8_t>(Register::r11)};
constexpr Spill kLentR10{Register::r10, 1}, kLentR11{Register::r11, 2};
constexpr Spills kLandingSpills{kRcxInR10, kLentR10, kLentR11};
constexpr uint8_t kGreater = 15;  // the condition g

}  // namespace

bool call_ticks(const CodeSource& source, uint64_t target) {
  const auto first = regular_outline(source, target);
  if (first && first->kind != Outline::Kind::other) return true;
  auto in = decode(source, target);
  if (in && in->info.mnemonic == ZYDIS_MNEMONIC_ENDBR64) in = decode(source, in->next());
  return !in || in->info.mnemonic != ZYDIS_MNEMONIC_JMP ||
         in->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

// Forms of call, by their length: e8 rel32, and ff /2 with a register or memory operand, behind a
// REX prefix perhaps.
bool return_ticks(const CodeSource& source, uint64_t target) {
  for (const uint64_t length : {5, 2, 3, 6, 7, 4}) {
    uint8_t first[2];
    if (source.read(target - length, first) != 2) continue;
    const bool direct = length == 5 && first[0] == 0xe8;
    const bool prefix = (first[0] & 0xf0) == 0x40;
    if (!direct && first[0] != 0xff && !(prefix && first[1] == 0xff)) continue;
    const auto in = decode(source, target - length);
    if (in && in->next() == target && in->info.mnemonic == ZYDIS_MNEMONIC_CALL) return false;
  }
  return true;
}

// The displacement lies in one aligned word, so that it can be changed while the jump executes.
void Block::link(uint64_t target) {
  if (options_.fast) switch ((host_base_ + offset()) % 8) {
      case 4:
        bytes({0x0f, 0x1f, 0x00});
        break;
      case 5:
        bytes({0x66, 0x90});
        break;
      case 6:
        bytes({0x90});
        break;
      default:
        break;
    }
  bytes({0xe9, 0, 0, 0, 0});
  links_.push_back({offset() - 4, target, lent_, at_});
}

void Block::link_if(uint8_t condition, uint64_t target) {
  bytes({0x0f, static_cast<uint8_t>(0x80 | condition), 0, 0, 0, 0});
  links_.push_back({offset() - 4, target, lent_, at_});
}

void Block::jump_if(uint8_t condition, const Label& label) {
  bytes({0x0f, static_cast<uint8_t>(0x80 | condition), 0, 0, 0, 0});
  jumps_.push_back({offset() - 4, label});
}

void Block::count_tick(uint64_t pc, const Spills& spills) {
  hot_load(Register::rcx, ticks_left());
  origin(pc, spills);
  t_.origins.back().counting = static_cast<int32_t>(ticks_left());
  a_.lea(x86::rcx, x86::ptr(x86::rcx, -1));
  hot_store(Register::rcx, ticks_left());
  origin(pc, spills);
}

void Block::count_ticks(uint64_t pc, uint8_t ticks) {
  const auto pending = [&](uint8_t uncounted) {
    origin(pc, holding_rcx());
    t_.origins.back().uncounted = uncounted;
    t_.origins.back().turns = ticks;
  };
  if (status_flags_dead(source_, pc)) {
    tick(ticks);
    origin(pc);
    return;
  }
  hold_rcx();
  hot_load(Register::rcx, ticks_left());
  pending(ticks);
  t_.origins.back().counting = static_cast<int32_t>(ticks_left());
  a_.lea(x86::rcx, x86::ptr(x86::rcx, -int32_t{ticks}));
  hot_store(Register::rcx, ticks_left());
  pending(0);
  release_rcx();
}

void Block::hold_rcx() {
  if (lent_)
    a_.mov(x86::r11, x86::rcx);
  else
    spill(Register::rcx, 0);
}

void Block::release_rcx() {
  if (lent_)
    a_.mov(x86::rcx, x86::r11);
  else
    unspill(Register::rcx, 0);
}

Spills Block::holding_rcx() const {
  if (lent_) return {kRcxInR11, kLentR10, kLentR11};
  return {{Register::rcx, 0}};
}

void Block::tick_and_link(uint64_t target) {
  origin(target);
  if (status_flags_dead(source_, target)) {
    tick(1);
    link_if(kGreater, target);
    budget_exit(target, spills());
    if (options_.fast) link(target);
    return;
  }
  const Label zero = a_.newLabel();
  hold_rcx();
  count_tick(target, holding_rcx());
  check(a_.jecxz(x86::rcx, zero), "a tick");
  release_rcx();
  link(target);
  a_.bind(zero);
  budget_exit(target, holding_rcx());
  if (!options_.fast) return;
  release_rcx();
  link(target);
}

void Block::indirect(const Instruction& in, int32_t stack_change, const layout::Range& table) {
  t_.indirects.push_back({offset(), in.pc, stack_change});
  const auto here = static_cast<uint32_t>(host_base_ + offset());
  hot({0xc7}, 0, HEDDLE_HOT_TRANSFER, 4);  // mov dword [...], here
  bytes({static_cast<uint8_t>(here), static_cast<uint8_t>(here >> 8),
         static_cast<uint8_t>(here >> 16), static_cast<uint8_t>(here >> 24)});
  if (options_.stop && &table == &layout::kReturnTable) {
    exit(ExitKind::returned, in.pc);
    return;
  }
  a_.movzx(x86::r10d, x86::r11w);
  check(a_.jmp(x86::ptr(table.start, x86::r10, 3, 8)), "an indirect transfer");
}

// The flags may be needed where another pad is the right one, or none yet: comparing leaves them.
void Block::landing() {
  const Label other = a_.newLabel(), zero = a_.newLabel(), here = a_.newLabel(),
              counted = a_.newLabel();
  const bool returns = options_.landing == LandingKind::returns;
  const bool ticks = !returns || return_ticks(source_, pc_);
  const bool flags = !status_flags_dead(source_, pc_);
  // Out of line, in front: the way to the next pad and the budget exit.
  origin(pc_, kLandingSpills);
  a_.bind(other);
  a_.mov(x86::rcx, x86::r10);
  bytes({0xff, 0x25});  // jmp [rip + ...]
  constant_operand(0);
  a_.bind(zero);
  const Spills spills = flags ? kLandingSpills : kLent;
  if (ticks) {
    budget_exit(pc_, spills);
    if (options_.fast) check(a_.jmp(counted), "a landing pad");
  }
  origin(pc_, kLandingSpills);
  t_.landing = Landing{offset(), 0, returns};
  a_.mov(x86::r10, x86::rcx);
  if (pc_ <= INT32_MAX) {
    a_.lea(x86::rcx, x86::ptr(x86::r11, -static_cast<int32_t>(pc_)));
  } else {
    a_.mov(x86::rcx, imm(-static_cast<int64_t>(pc_)));
    a_.lea(x86::rcx, x86::ptr(x86::rcx, x86::r11));
  }
  check(a_.jecxz(x86::rcx, here), "a landing pad");
  check(a_.short_().jmp(other), "a landing pad");
  a_.bind(here);
  if (ticks && flags) {
    count_tick(pc_, kLandingSpills);
    check(a_.jecxz(x86::rcx, zero), "a landing pad");
    a_.bind(counted);
  }
  a_.mov(x86::rcx, x86::r10);
  if (ticks && !flags) {
    tick(1);
    check(a_.short_().jle(zero), "a landing pad");
    a_.bind(counted);
  }
  lent_ = true;
  origin(pc_);
  if (!options_.fast) take_back(pc_);
}

void Block::push_return_address(uint64_t address) {
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

void Block::lend(uint64_t pc) {
  if (!lent_) {
    for (const auto& [reg, slot] : kLent) spill(reg, slot);
    lent_ = true;
  }
  origin(pc);
}

// The instruction at `pc` may overwrite one of them.
void Block::take_back(uint64_t pc, std::optional<Register> overwritten) {
  Spills left;
  for (const auto& spilled : kLent) {
    if (spilled.reg == overwritten)
      left = left.with(spilled);
    else
      unspill(spilled.reg, spilled.slot);
  }
  lent_ = false;
  origin(pc, left);
}

void Block::load_target(const Instruction& in) {
  lend(in.pc);
  const auto& op = in.operands[0];
  if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    if (const auto address = far_address(in)) {
      a_.mov(x86::r11, imm(*address));
      Mem target = x86::ptr(x86::r11, 0, 8);
      if (op.mem.segment == ZYDIS_REGISTER_FS) target.setSegment(x86::fs);
      check(a_.mov(x86::r11, target), "an indirect target");
    } else {
      check(a_.mov(x86::r11, memory(in, 0, true)), "an indirect target");
    }
  } else {
    const auto reg = general_register(op.reg.value);
    if (reg != Register::r11) check(a_.mov(x86::r11, gp(*reg)), "an indirect target");
  }
}

void Block::conditional(uint64_t pc, uint8_t condition, uint64_t target, uint64_t next) {
  if (target > pc) {
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
  origin(next);
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
        indirect(in, 0, layout::kLookupTable);
      }
      return true;
    case ZYDIS_MNEMONIC_CALL:
      t_.returns_to = in.next();
      if (in.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        const uint64_t target = direct_target(in);
        push_return_address(in.next());
        if (!canonical(target)) {
          a_.lea(x86::rsp, x86::ptr(x86::rsp, 8));
          bytes({kHlt});
          return true;
        }
        if (call_ticks(source_, target))
          tick_and_link(target);
        else
          link(target);
      } else {
        load_target(in);
        push_return_address(in.next());
        indirect(in, -8, layout::kLookupTable);
      }
      return true;
    case ZYDIS_MNEMONIC_RET: {
      const auto extra = static_cast<int32_t>(
          in.info.raw.imm[0].size != 0 ? in.info.raw.imm[0].value.u & 0xffff : 0);
      lend(in.pc);
      a_.pop(x86::r11);
      if (extra != 0) a_.lea(x86::rsp, x86::ptr(x86::rsp, extra));
      indirect(in, 8 + extra, layout::kReturnTable);
      return true;
    }
    default:
      break;
  }
  return false;
}

}  // namespace heddle::translator
