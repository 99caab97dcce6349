#include "machine/access.h"
#include "machine/translator/block.h"

namespace heddle::translator {

using namespace asmjit;

namespace {

AccessKind kind_of(const OperandAccess& access) {
  if (access.locked) return AccessKind::locked;
  if (access.read && access.written) return AccessKind::update;
  return access.written ? AccessKind::write : AccessKind::read;
}

// Lines of the table (machine/tracee/line_table.h).
constexpr uint32_t kLine = 64, kLineShift = 6;
constexpr int32_t kManyOwners = -1;

// The entry's half for such an access, of the line that rax numbers.
x86::Mem owner_of_line(const OperandAccess& access) {
  return x86::ptr(layout::kLineTable.start + (access.written ? 4 : 0), x86::rax, 3, 4);
}

}  // namespace

bool can_filter_accesses() {
  return __builtin_cpu_supports("bmi2");
}

void Block::log_accesses(const Instruction& in) {
  if (options_.log_accesses && log_gather(in)) {
    origin(in.pc);
    return;
  }
  for (const auto& access : accesses(in)) {
    if (!options_.log_accesses && !access.locked) continue;
    if (lent_) take_back(in.pc);
    filtered(access) ? filter_access(in, access) : log_access(in, access);
  }
  origin(in.pc);
}

void Block::log_access(const Instruction& in, const OperandAccess& access) {
  const Spills spills{{Register::rax, 0}, {Register::rcx, 1}};
  spill(Register::rax, 0);
  spill(Register::rcx, 1);
  origin(in.pc, spills);
  load_address(in, access);
  log_address(in, access, spills);
  unspill(Register::rcx, 1);
  unspill(Register::rax, 0);
}

// An entry for the address in rax.
void Block::log_address(const Instruction& in, const OperandAccess& access, const Spills& spills) {
  log_entry(in.pc, spills);
  if (access.repeated) {
    uint32_t shift = 0;
    while ((1u << shift) < access.size) ++shift;
    unspill(Register::rax, 1);  // the guest's rcx: the count
    a_.lea(x86::rax, x86::ptr(0, x86::rax, shift));
    a_.mov(x86::ptr(x86::rcx, 24, 4), x86::eax);
  } else {
    a_.mov(x86::ptr(x86::rcx, 24, 4), imm(access.size));
  }
  a_.mov(x86::ptr(x86::rcx, 28, 4), imm(static_cast<uint32_t>(kind_of(access))));
  a_.lea(x86::rcx, x86::ptr(x86::rcx, 32));
  a_.mov(state(HEDDLE_STATE_ACCESS_NEXT), x86::rcx);
}

bool Block::filtered(const OperandAccess& access) const {
  return options_.filter != AccessFilter::none && !access.repeated && !access.bit_string &&
         !access.locked && access.size <= kLine;
}

void Block::line_of(const Instruction& in, const OperandAccess& access) {
  load_address(in, access);
  a_.rorx(x86::rax, x86::rax, kLineShift);
  a_.mov(x86::eax, x86::eax);
}

// No flag changes: all of them may be live. What is left to do where the entry does not settle it
// is behind the block.
void Block::filter_access(const Instruction& in, const OperandAccess& access) {
  const Filtered& rest = filtered_.emplace_back(Filtered{a_.newLabel(), a_.newLabel(), in, access});
  spill(Register::rax, 0);
  spill(Register::rcx, 1);
  origin(in.pc, {{Register::rax, 0}, {Register::rcx, 1}});
  line_of(in, access);
  if (options_.filter == AccessFilter::owners) {
    a_.mov(x86::eax, owner_of_line(access));
    a_.mov(x86::rcx, state(HEDDLE_STATE_MINUS_OWNER));
    a_.lea(x86::ecx, x86::ptr(x86::rcx, x86::rax));
  } else {
    a_.movzx(x86::ecx, x86::ptr(layout::kLineTable.start, x86::rax, 0, 1));
  }
  check(a_.jecxz(x86::rcx, rest.end), "a filtered access");
  check(a_.jmp(rest.begin), "a filtered access");
  a_.bind(rest.end);
  unspill(Register::rcx, 1);
  unspill(Register::rax, 0);
}

void Block::filtered_accesses() {
  const Spills spills{{Register::rax, 0}, {Register::rcx, 1}};
  for (const auto& [begin, end, in, access] : filtered_) {
    a_.bind(begin);
    origin(in.pc, spills);
    unspill(Register::rcx, 1);
    unspill(Register::rax, 0);
    if (options_.filter == AccessFilter::shared) {
      load_address(in, access);
      log_address(in, access, spills);
    } else {
      line_of(in, access);
      const Mem owner = owner_of_line(access);
      const Label nobodys = a_.newLabel();
      a_.mov(x86::ecx, owner);
      check(a_.jecxz(x86::rcx, nobodys), "a line's use");
      a_.mov(owner, imm(kManyOwners));
      check(a_.jmp(end), "a line's use");
      a_.bind(nobodys);
      a_.mov(x86::ecx, state(HEDDLE_STATE_OWNER, 4));
      a_.mov(owner, x86::ecx);
    }
    check(a_.jmp(end), "a filtered access");
  }
}

// Address, ticks and pc of an entry; the address is in rax. Leaves the entry's own in rcx.
void Block::log_entry(uint64_t pc, const Spills& spills) {
  a_.mov(x86::rcx, state(HEDDLE_STATE_ACCESS_NEXT));
  // The one store that can fall on the log's guard page: entries never straddle a page.
  origin(pc, spills, true);
  a_.mov(x86::ptr(x86::rcx, 0, 8), x86::rax);
  origin(pc, spills);
  hot_load(Register::rax, HEDDLE_HOT_TICKS_LEFT);
  a_.mov(x86::ptr(x86::rcx, 8, 8), x86::rax);
  a_.mov(x86::rax, imm(pc));
  a_.mov(x86::ptr(x86::rcx, 16, 8), x86::rax);
}

void Block::log_call(uint64_t pc, Register argument) {
  const Spills spills{{Register::rax, 0}, {Register::rcx, 1}};
  spill(Register::rax, 0);
  spill(Register::rcx, 1);
  origin(pc, spills);
  if (argument != Register::rax) a_.mov(x86::rax, gp(argument));
  log_entry(pc, spills);
  a_.mov(x86::ptr(x86::rcx, 24, 4), imm(0));
  a_.mov(x86::ptr(x86::rcx, 28, 4), imm(HEDDLE_ENTRY_CALL));
  a_.lea(x86::rcx, x86::ptr(x86::rcx, 32));
  a_.mov(state(HEDDLE_STATE_ACCESS_NEXT), x86::rcx);
  unspill(Register::rcx, 1);
  unspill(Register::rax, 0);
  origin(pc);
}

// The guest's rax and rcx are spilled in slots 0 and 1, and still in their registers.
void Block::load_address(const Instruction& in, const OperandAccess& access) {
  const auto& mem = in.operands[access.index].mem;
  if (mem.base == ZYDIS_REGISTER_NONE && mem.index == ZYDIS_REGISTER_NONE) {
    a_.mov(x86::rax, imm(mem.disp.value));
  } else if (const auto far = far_address(in); far && mem.base == ZYDIS_REGISTER_RIP) {
    a_.mov(x86::rax, imm(*far));
  } else if (in.info.mnemonic == ZYDIS_MNEMONIC_XLAT) {
    a_.movzx(x86::eax, x86::al);
    a_.lea(x86::rax, x86::ptr(x86::rbx, x86::rax));
  } else {
    Mem address = memory(in, access.index, false);
    address.addOffset(access.stack_offset);
    check(a_.lea(x86::rax, address), "an access's address");
  }
  if (access.bit_string) {
    // Words of the operand's size from there: the bit offset, arithmetically shifted. The flags
    // go through ah and al, since nothing may be pushed.
    const auto& offset = in.operands[1];
    a_.mov(x86::rcx, x86::rax);
    a_.lahf();
    a_.seto(x86::al);
    spill(Register::rax, 2);
    const auto reg = *general_register(offset.reg.value);
    if (reg == Register::rax || reg == Register::rcx)
      unspill(Register::rax, reg == Register::rax ? 0 : 1);
    else
      a_.mov(x86::rax, gp(reg));
    if (access.size == 2) a_.movsx(x86::rax, x86::ax);
    if (access.size == 4) a_.movsxd(x86::rax, x86::eax);
    a_.sar(x86::rax, access.size == 2 ? 4 : access.size == 4 ? 5 : 6);
    a_.imul(x86::rax, x86::rax, access.size);
    a_.lea(x86::rcx, x86::ptr(x86::rcx, x86::rax));
    unspill(Register::rax, 2);
    a_.add(x86::al, 0x7f);  // OF
    a_.sahf();
    a_.mov(x86::rax, x86::rcx);
  }
  if (mem.segment == ZYDIS_REGISTER_FS) {
    a_.mov(x86::rcx, state(HEDDLE_STATE_FS_BASE));
    a_.lea(x86::rax, x86::ptr(x86::rax, x86::rcx));
  }
}

void Block::point(uint64_t pc, uint8_t phase) {
  const Label zero = a_.newLabel(), done = a_.newLabel();
  spill(Register::rcx, 1);
  a_.mov(x86::rcx, state(HEDDLE_STATE_POINTS_LEFT));
  a_.lea(x86::rcx, x86::ptr(x86::rcx, -1));
  a_.mov(state(HEDDLE_STATE_POINTS_LEFT), x86::rcx);
  check(a_.jecxz(x86::rcx, zero), "an access point");
  unspill(Register::rcx, 1);
  check(a_.short_().jmp(done), "an access point");
  a_.bind(zero);
  unspill(Register::rcx, 1);
  exit(ExitKind::point, pc).phase = phase;
  a_.bind(done);
}

bool Block::splittable(const Instruction& in) const {
  if (in.info.operand_count == 0 || in.operands[0].type != ZYDIS_OPERAND_TYPE_MEMORY ||
      in.info.meta.category == ZYDIS_CATEGORY_STRINGOP)
    return false;
  const auto found = accesses(in);
  if (found.size() != 1 || found[0].index != 0) return false;
  const auto& access = found[0];
  if (!access.read || !access.written || access.locked || access.bit_string) return false;
  // xadd and cmpxchg may write a register of their own operand's address.
  const auto& mem = in.operands[0].mem;
  for (unsigned i = 1; i < in.info.operand_count; ++i) {
    const auto& op = in.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER || !(op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
      continue;
    const auto written = general_register(op.reg.value);
    if (written &&
        (written == general_register(mem.base) || written == general_register(mem.index)))
      return false;
  }
  return access.size == 1 || access.size == 2 || access.size == 4 || access.size == 8;
}

std::optional<Register> Block::scratch_for(const Instruction& in, bool low_byte) const {
  // The first four have a low byte that needs no REX prefix, which ah and its like exclude.
  constexpr Register kCandidates[] = {Register::rcx, Register::rdx, Register::rbx,
                                      Register::rax, Register::rsi, Register::rdi};
  for (const auto candidate : std::span(kCandidates).first(low_byte ? 4 : 6)) {
    bool used = false;
    for (unsigned i = 0; i < in.info.operand_count; ++i) {
      const auto& op = in.operands[i];
      if (op.type == ZYDIS_OPERAND_TYPE_REGISTER)
        used = used || general_register(op.reg.value) == candidate;
      if (op.type == ZYDIS_OPERAND_TYPE_MEMORY)
        used = used || general_register(op.mem.base) == candidate ||
               general_register(op.mem.index) == candidate;
    }
    if (!used) return candidate;
  }
  return std::nullopt;
}

bool Block::split(const Instruction& in, bool with_point, bool with_stop) {
  if (!splittable(in) || far_address(in)) return false;
  const auto scratch = scratch_for(in);
  if (!scratch) return false;
  const uint32_t size = in.operands[0].size / 8;

  ZydisEncoderRequest request;
  if (!ZYAN_SUCCESS(ZydisEncoderDecodedInstructionToEncoderRequest(
          &in.info, in.operands.data(), in.info.operand_count_visible, &request)))
    return false;
  constexpr ZydisRegister kBases[] = {ZYDIS_REGISTER_AL, ZYDIS_REGISTER_AX, ZYDIS_REGISTER_EAX,
                                      ZYDIS_REGISTER_RAX};
  const unsigned width = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
  request.prefixes = 0;  // a segment override has no place in a register form
  request.operands[0] = {};
  request.operands[0].type = ZYDIS_OPERAND_TYPE_REGISTER;
  request.operands[0].reg.value =
      static_cast<ZydisRegister>(kBases[width] + static_cast<unsigned>(*scratch));
  uint8_t operation[ZYDIS_MAX_INSTRUCTION_LENGTH];
  ZyanUSize length = sizeof operation;
  if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&request, operation, &length))) return false;

  const Spills spills{{*scratch, 3}};
  spill(*scratch, 3);
  origin(in.pc, spills);
  const Mem address = memory(in, 0, true);
  if (size < 4)
    check(a_.movzx(gp(*scratch, 4), address), "a split load");
  else
    check(a_.mov(gp(*scratch, size), address), "a split load");
  check(a_.mov(state(HEDDLE_STATE_SPLIT_VALUE), gp(*scratch)), "a split load");
  unspill(*scratch, 3);
  origin(in.pc);
  if (with_stop) exit(ExitKind::stop, in.pc).phase = 1;
  if (with_point) point(in.pc, 1);
  t_.splits.push_back({in.pc, offset()});
  spill(*scratch, 3);
  origin(in.pc, spills);
  // A page that cannot be written faults here, while the flags are still the guest's.
  check(a_.mov(gp(*scratch, size), address), "a split store");
  check(a_.mov(address, gp(*scratch, size)), "a split store");
  check(a_.mov(gp(*scratch), state(HEDDLE_STATE_SPLIT_VALUE)), "a split store");
  check(a_.embed(operation, length), "a split operation");
  check(a_.mov(address, gp(*scratch, size)), "a split store");
  unspill(*scratch, 3);
  return true;
}

}  // namespace heddle::translator
