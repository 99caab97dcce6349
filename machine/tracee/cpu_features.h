// What of the processor a program is shown through CPUID, and what a replay needs of its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trace_format/event.h"

namespace heddle {

enum class CpuFeatures : uint8_t {
  sse,  // nothing whose registers need XSAVE
  avx,  // AVX, AVX2, FMA, F16C and what comes with them, if this processor has BMI2 too
};

// The registers that XSAVE and signal frames hold: bits of XCR0.
inline constexpr uint64_t kXcr0 = 7;  // x87, SSE, AVX

struct CpuidAnswer {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};
// What CPUID answers a program: this processor's facts but for what differs from core to core, what
// heddle does not run and what `features` leaves out. Bits: Intel SDM vol. 2A, CPUID; AMD APM vol.
// 3, appendix E.
CpuidAnswer cpuid(CpuFeatures features, uint32_t leaf, uint32_t subleaf);

// The same of the leaves that programs ask for as they start: few, since asking the processor of a
// virtual machine takes microseconds.
std::vector<event::CpuidEntry> startup_answers(CpuFeatures features);
// That leaf's among them, or null.
const event::CpuidEntry* find_answer(std::span<const event::CpuidEntry> answers, uint32_t leaf,
                                     uint32_t subleaf);

// Names, as /proc/cpuinfo has them, of the instruction sets that cpuid() shows.
std::vector<std::string> shown_features(CpuFeatures features);

// Those of `needed` that this machine does not have.
std::vector<std::string> missing_features(const std::vector<std::string>& needed);

}  // namespace heddle
