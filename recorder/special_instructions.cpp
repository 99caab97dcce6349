#include "recorder/special_instructions.h"

#include <cpuid.h>
#include <x86intrin.h>

#include <stdexcept>

namespace heddle {

event::Instruction answer_special(const translator::ExitSite& site, const Registers& r) {
  using translator::SpecialInstruction;
  event::Instruction a;
  a.kind = static_cast<uint16_t>(site.special);
  a.rax = r[Register::rax];
  a.rbx = r[Register::rbx];
  a.rcx = r[Register::rcx];
  a.rdx = r[Register::rdx];
  a.rflags = r[Register::rflags];
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
      a.rax = 7;
      a.rdx = 0;
      return a;
    case SpecialInstruction::cpuid: {
      const auto leaf = static_cast<uint32_t>(a.rax), subleaf = static_cast<uint32_t>(a.rcx);
      uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
      __cpuid_count(leaf, subleaf, eax, ebx, ecx, edx);
      switch (leaf) {
        case 1:
          ebx &= 0x00ffffff;  // initial APIC id
          // FMA, XSAVE, OSXSAVE, AVX, F16C, RDRAND
          ecx &= ~((1u << 12) | (1u << 26) | (1u << 27) | (1u << 28) | (1u << 29) | (1u << 30));
          break;
        case 7:
          // FSGSBASE, HLE, AVX2, RTM, AVX-512, RDSEED, and all of ecx and edx
          ebx &= ~((1u << 0) | (1u << 4) | (1u << 5) | (1u << 11) | (1u << 16) | (1u << 17) |
                   (1u << 18) | (1u << 21) | (1u << 26) | (1u << 27) | (1u << 28) | (1u << 30) |
                   (1u << 31));
          if (subleaf != 0) eax = ebx = 0;
          ecx = edx = 0;
          break;
        case 0xb:
        case 0x1f:
          edx = 0;
          break;  // x2APIC id
        case 0xd:
          eax = ebx = ecx = edx = 0;
          break;
        default:
          break;
      }
      a.rax = eax;
      a.rbx = ebx;
      a.rcx = ecx;
      a.rdx = edx;
      return a;
    }
    default:
      throw std::runtime_error(
          "the program uses rdrand, rdseed or rdpid although CPUID hides them: not supported");
  }
}

void apply_special(const event::Instruction& answer, unsigned length, Registers& r) {
  r[Register::rax] = answer.rax;
  r[Register::rbx] = answer.rbx;
  r[Register::rcx] = answer.rcx;
  r[Register::rdx] = answer.rdx;
  r[Register::rflags] = answer.rflags;
  r[Register::rip] += length;
}

}  // namespace heddle
