#include "recorder/special_instructions.h"

#include <sys/random.h>
#include <x86intrin.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "machine/tracee/task_context.h"

namespace heddle {

event::Instruction answer_special(const translator::ExitSite& site, const Registers& r,
                                  CpuFeatures features) {
  using translator::SpecialInstruction;
  event::Instruction a = pending_instruction(site, r);
  switch (site.special) {
    case SpecialInstruction::rdtscp:
      a.rcx = 0;
      [[fallthrough]];
    case SpecialInstruction::rdtsc: {
      const uint64_t now = __rdtsc();
      a.rax = now & 0xffffffff;
      a.rdx = now >> 32;
      return a;
    }
    case SpecialInstruction::xgetbv:
      a.rax = kXcr0;  // which of them are in use, too: see Block::save_extended_state
      a.rdx = 0;
      return a;
    case SpecialInstruction::cpuid: {
      const auto answer =
          cpuid(features, static_cast<uint32_t>(a.rax), static_cast<uint32_t>(a.rcx));
      a.rax = answer.eax;
      a.rbx = answer.ebx;
      a.rcx = answer.ecx;
      a.rdx = answer.edx;
      return a;
    }
    case SpecialInstruction::rdpid:
      a.operand = site.special_operand;
      a.value = 0;
      return a;
    case SpecialInstruction::rdrand:
    case SpecialInstruction::rdseed: {
      constexpr uint64_t kCarry = 1, kStatus = 0x8d5;
      uint64_t random = 0;
      if (getrandom(&random, sizeof random, 0) != sizeof random)
        throw std::system_error(errno, std::generic_category(), "random bytes");
      a.operand = site.special_operand;
      // As any instruction that writes 4 bytes of a register, or 2.
      a.value = site.special_size == 8   ? random
                : site.special_size == 4 ? random & 0xffffffff
                                         : (r[*a.operand] & ~uint64_t{0xffff}) | (random & 0xffff);
      a.rflags = (a.rflags & ~kStatus) | kCarry;
      return a;
    }
    default:
      throw std::logic_error("a special instruction of no kind");
  }
}

}  // namespace heddle
