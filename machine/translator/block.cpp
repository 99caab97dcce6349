#include "machine/translator/block.h"

#include <algorithm>
#include <cstring>

namespace heddle::translator {

using namespace asmjit;

namespace {

std::optional<SpecialInstruction> special_instruction(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_RDTSC:
      return SpecialInstruction::rdtsc;
    case ZYDIS_MNEMONIC_RDTSCP:
      return SpecialInstruction::rdtscp;
    case ZYDIS_MNEMONIC_CPUID:
      return SpecialInstruction::cpuid;
    case ZYDIS_MNEMONIC_RDRAND:
      return SpecialInstruction::rdrand;
    case ZYDIS_MNEMONIC_RDSEED:
      return SpecialInstruction::rdseed;
    case ZYDIS_MNEMONIC_RDPID:
      return SpecialInstruction::rdpid;
    case ZYDIS_MNEMONIC_XGETBV:
      return SpecialInstruction::xgetbv;
    default:
      return std::nullopt;
  }
}

bool traps(const Instruction& in) {
  return in.info.mnemonic == ZYDIS_MNEMONIC_INT3 || in.info.mnemonic == ZYDIS_MNEMONIC_INT1;
}

bool illegal(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_XBEGIN:
      return true;
    default:
      return false;
  }
}

bool uses(const Instruction& in, Register reg, unsigned first_operand = 0) {
  for (unsigned i = first_operand; i < in.info.operand_count; ++i) {
    const auto& op = in.operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_REGISTER && general_register(op.reg.value) == reg)
      return true;
    if (op.type == ZYDIS_OPERAND_TYPE_MEMORY &&
        (general_register(op.mem.base) == reg || general_register(op.mem.index) == reg))
      return true;
  }
  return false;
}

bool uses_lent(const Instruction& in) {
  return uses(in, Register::r10) || uses(in, Register::r11);
}

// The register of which it writes all and reads nothing.
std::optional<Register> overwritten(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
    case ZYDIS_MNEMONIC_MOVZX:
      break;
    default:
      return std::nullopt;
  }
  const auto& to = in.operands[0];
  if (to.type != ZYDIS_OPERAND_TYPE_REGISTER || to.size < 32) return std::nullopt;
  const auto reg = general_register(to.reg.value);
  return reg && !uses(in, *reg, 1) ? reg : std::nullopt;
}

}  // namespace

bool Block::copied(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_JRCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_RET:
      return false;
    default:
      return !special_instruction(in) && !traps(in) && !illegal(in) && !refused(in) &&
             !saves_extended_state(in);
  }
}

Block::Workshop& Block::workshop() {
  static thread_local Workshop instance;
  instance.links.clear();
  instance.filtered.clear();
  instance.addresses.clear();
  instance.constants.clear();
  instance.jumps.clear();
  instance.inside.clear();
  instance.places.clear();
  return instance;
}

Block::Block(const CodeSource& source, uint64_t pc, uint64_t host_base, const Options& options,
             Translation& out)
    : source_(source),
      pc_(pc),
      host_base_(host_base),
      options_(options),
      workshop_(workshop()),
      code_(workshop_.code),
      a_(workshop_.assembler),
      t_(out),
      outlines_(workshop_.outlines),
      links_(workshop_.links),
      filtered_(workshop_.filtered),
      addresses_(workshop_.addresses),
      constants_(workshop_.constants),
      jumps_(workshop_.jumps) {
  code_.reset(ResetPolicy::kSoft);
  check(code_.init(Environment(Arch::kX64, SubArch::kUnknown, Vendor::kUnknown, Platform::kLinux),
                   host_base),
        "a block");
  check(code_.attach(&a_), "a block");
  t_.pc = pc;
}

void Block::translate() {
  lent_ = options_.fast && options_.lent;
  at_ = pc_;
  if (options_.landing != LandingKind::none) landing();
  t_.lent = lent_;
  t_.entry = offset();
  uint64_t pc = pc_;
  std::vector<Instruction> body;
  if (options_.fast && may_loop()) body = loop_body();
  if (lent_ && std::ranges::any_of(body, uses_lent)) body.clear();
  if (!body.empty()) enter_unrolled(body);
  if (options_.max_instructions == 0) {
    t_.end = pc + 1;
    link(pc);
    finish();
    return;
  }
  const bool plain = !options_.stop && !options_.hooks && !options_.calls &&
                     !options_.log_accesses && !options_.points;
  while (true) {
    std::optional<uint8_t> cut_at;
    if (pc != pc_) {
      if (options_.known && options_.known->known(pc, lent_)) {
        link(pc);
        break;
      }
      InnerEntry inner;
      inner.distance = static_cast<uint32_t>(pc - pc_);
      inner.offset = offset() & 0x7fff'ffff;
      inner.lent = lent_;
      t_.inner.push_back(inner);
    }
    at_ = pc;
    if (plain) {
      const auto quick =
          t_.instructions < outlined_ ? outlines_[t_.instructions] : regular_outline(source_, pc);
      if (quick && instruction(*quick, pc)) {
        ++t_.instructions;
        pc += quick->length;
        t_.end = pc;
        if (t_.instructions < options_.max_instructions) continue;
        link(pc);
        break;
      }
    }
    const auto in = decode(source_, pc, &cut_at);
    origin(pc);
    if (!in) {
      exit(cut_at ? ExitKind::unreadable : ExitKind::illegal, pc).length = cut_at.value_or(0);
      t_.end = pc + 1;
      break;
    }
    ++t_.instructions;
    t_.end = in->next();
    if (!instruction(*in)) break;
    pc = in->next();
    if (t_.instructions >= options_.max_instructions) {
      link(pc);
      break;
    }
  }
  lent_ = t_.lent;
  if (!body.empty()) unrolled(body);
  finish();
}

bool Block::instruction(const Outline& in, uint64_t pc) {
  const uint64_t next = pc + in.length;
  if (in.kind == Outline::Kind::conditional) {
    origin(pc);
    conditional(pc, in.condition, in.target, next);
    return true;
  }
  if (in.kind != Outline::Kind::copied || (lent_ && in.uses_lent)) return false;
  auto code = in.bytes;
  uint64_t target = 0;
  if (in.displacement != 0) {
    int32_t displacement;
    std::memcpy(&displacement, code.data() + in.displacement, sizeof displacement);
    target = next + static_cast<uint64_t>(int64_t{displacement});
    if (is_far(target)) return false;
  }
  origin(pc);
  if (in.displacement != 0) {
    const auto moved = static_cast<int32_t>(target - (host_base_ + offset() + in.length));
    std::memcpy(code.data() + in.displacement, &moved, sizeof moved);
  }
  check(a_.embed(code.data(), in.length), "a copied instruction");
  return true;
}

bool Block::instruction(const Instruction& in) {
  if (lent_ && uses_lent(in)) {
    const bool plain = copied(in) && !far_address(in);
    take_back(in.pc, plain ? overwritten(in) : std::nullopt);
  }
  const bool stop_here = options_.stop && options_.stop->pc == in.pc;
  if (stop_here && options_.stop->phase == 0) {
    exit(ExitKind::stop, in.pc);
    origin(in.pc);
  }
  if (options_.hooks && options_.hooks->contains(in.pc)) {
    exit(ExitKind::hook, in.pc);
    origin(in.pc);
  }
  if (in.info.mnemonic == ZYDIS_MNEMONIC_SYSCALL) {
    syscall(in);
    return false;
  }
  if (const auto which = special_instruction(in)) {
    if (*which == SpecialInstruction::cpuid && !options_.resident) {
      cpuid(in);
      return true;
    }
    special(in, *which);
    return false;
  }
  if (traps(in)) {
    exit(ExitKind::trap, in.pc).length = in.info.length;
    return false;
  }
  if (illegal(in)) {
    exit(ExitKind::illegal, in.pc).length = in.info.length;
    return false;
  }
  if (refused(in) || (stores_x87_pointers(in) && far_address(in))) {
    exit(ExitKind::unsupported, in.pc).length = in.info.length;
    return false;
  }

  if (options_.calls)
    if (const auto call = options_.calls->find(in.pc); call != options_.calls->end()) {
      if (lent_) take_back(in.pc);
      log_call(in.pc, call->second);
    }
  if (options_.log_accesses || options_.log_locked) log_accesses(in);
  const bool watched = options_.points && options_.points->contains(in.pc);
  if (watched) point(in.pc, 0);
  const bool stop_inside = stop_here && options_.stop->phase == 1;
  if ((watched || stop_inside) && split(in, watched, stop_inside)) return true;

  if (transfer(in)) return false;
  if (in.info.meta.category == ZYDIS_CATEGORY_COND_BR) {
    // The condition is the low nibble of the opcode in both encodings (0F 8x and 7x).
    conditional(in.pc, in.info.opcode & 15, direct_target(in), in.next());
    return true;
  }
  if (saves_extended_state(in))
    save_extended_state(in);
  else
    copy(in);
  return true;
}

void Block::special(const Instruction& in, SpecialInstruction which) {
  auto& site = exit(ExitKind::special, in.pc);
  site.length = in.info.length;
  site.special = which;
  if (which == SpecialInstruction::rdrand || which == SpecialInstruction::rdseed ||
      which == SpecialInstruction::rdpid) {
    site.special_operand = general_register(in.operands[0].reg.value).value_or(Register::rax);
    site.special_size = static_cast<uint8_t>(in.operands[0].size / 8);
  }
}

// Answered by the runtime (machine/runtime/misses.c), which comes back behind the exit, or to it
// where it knows no answer.
void Block::cpuid(const Instruction& in) {
  origin(in.pc);
  hot_store(Register::rdx, HEDDLE_HOT_CPUID_RDX);
  bytes({0x48, 0x8d, 0x15, 7, 0, 0, 0});  // lea rdx, [rip + 7]: over the jump and the int3
  hot({0xff}, 4, HEDDLE_HOT_CPUID_ENTRY);
  special(in, SpecialInstruction::cpuid);
}

void Block::syscall(const Instruction& in) {
  if (!options_.runtime_syscalls) {
    exit(ExitKind::syscall, in.pc).length = in.info.length;
    return;
  }
  const Label stop = a_.newLabel(), served = a_.newLabel();
  store_constant(HEDDLE_STATE_SYSCALL_PC, in.pc);
  store_address(HEDDLE_STATE_SYSCALL_RETURN, served);
  store_address(HEDDLE_STATE_SYSCALL_STOP, stop);
  check(a_.jmp(state(HEDDLE_STATE_SYSCALL_ENTRY)), "a system call");
  a_.bind(stop);
  exit(ExitKind::syscall, in.pc).length = in.info.length;
  a_.bind(served);
  origin(in.next());
  if (options_.fast) lend(in.next());
  link(in.next());
}

void translate(const CodeSource& source, uint64_t pc, uint64_t host_base, const Options& options,
               Translation& out) {
  out.clear();
  Block(source, pc, host_base, options, out).translate();
}

Translation translate(const CodeSource& source, uint64_t pc, uint64_t host_base,
                      const Options& options) {
  Translation out;
  translate(source, pc, host_base, options, out);
  return out;
}

}  // namespace heddle::translator
