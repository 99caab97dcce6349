// Liveness of the status flags along code that has one way to go.
#include "machine/translator/outline.h"

namespace heddle::translator {
namespace {

constexpr int kWindow = 16;  // instructions looked at

// True for instructions that leave flags alone under some conditions on their operands.
bool writes_conditionally(const Instruction& in) {
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
      return true;
    default:
      return in.info.meta.category == ZYDIS_CATEGORY_STRINGOP;
  }
}

bool transfers_or_observes(const Instruction& in) {
  if (in.info.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) return true;
  switch (in.info.meta.category) {
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_UNCOND_BR:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_SYSTEM:
    case ZYDIS_CATEGORY_RDRAND:
    case ZYDIS_CATEGORY_RDSEED:
      return true;
    default:
      break;
  }
  switch (in.info.mnemonic) {
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFQ:
    case ZYDIS_MNEMONIC_LAHF:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
      return true;
    default:
      return false;
  }
}

// Where a direct jump or call, which leaves the flags alone, leads.
std::optional<uint64_t> goes_on_at(const Instruction& in) {
  const bool direct =
      (in.info.mnemonic == ZYDIS_MNEMONIC_JMP || in.info.mnemonic == ZYDIS_MNEMONIC_CALL) &&
      in.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
      in.info.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR;
  if (!direct) return std::nullopt;
  return direct_target(in);
}

struct Step {
  uint64_t end = 0;                 // of the instruction
  std::optional<uint64_t> goes_on;  // somewhere else
  FlagEffect flags;
};

std::optional<Step> step(const CodeSource& source, uint64_t pc) {
  using Kind = Outline::Kind;
  const auto quick = regular_outline(source, pc);
  Step out;
  if (quick) out.end = pc + quick->length;
  if (quick && quick->kind == Kind::copied) {
    out.flags = quick->flags;
  } else if (quick && (quick->kind == Kind::jump || quick->kind == Kind::call)) {
    out.goes_on = quick->target;
  } else if (quick && quick->kind == Kind::conditional) {
    out.flags.transfers = true;
  } else {
    const auto in = decode(source, pc);
    if (!in) return std::nullopt;
    out.end = in->next();
    out.goes_on = goes_on_at(*in);
    out.flags = flag_effect(*in);
  }
  return out;
}

}  // namespace

FlagEffect flag_effect(const Instruction& in) {
  FlagEffect effect;
  effect.transfers = transfers_or_observes(in);
  if (const auto* flags = in.info.cpu_flags) {
    effect.read = flags->tested & kStatusFlags;
    if (!writes_conditionally(in))
      effect.written = (flags->modified | flags->set_0 | flags->set_1) & kStatusFlags;
  }
  return effect;
}

uint64_t dead_status_flags(const CodeSource& source, uint64_t pc) {
  const uint64_t page = pc >> 12;
  uint64_t open = kStatusFlags, dead = 0;  // neither read nor written yet; written first
  for (int i = 0; i < kWindow && open != 0; ++i) {
    const auto in = step(source, pc);
    if (!in || pc >> 12 != page || (in->end - 1) >> 12 != page) break;
    if (in->goes_on) {
      pc = *in->goes_on;
      continue;
    }
    if (in->flags.transfers) break;
    open &= ~uint64_t{in->flags.read};
    dead |= open & in->flags.written;
    open &= ~dead;
    pc = in->end;
  }
  return dead;
}

bool status_flags_dead(const CodeSource& source, uint64_t pc) {
  return dead_status_flags(source, pc) == kStatusFlags;
}

uint64_t canonical_flags(const CodeSource& source, uint64_t pc, uint64_t rflags) {
  constexpr uint64_t kTrap = 1 << 8, kResume = 1 << 16, kFixed = 1 << 1, kInterrupts = 1 << 9;
  rflags = (rflags & ~(kTrap | kResume)) | kFixed | kInterrupts;
  return rflags & ~dead_status_flags(source, pc);
}

}  // namespace heddle::translator
