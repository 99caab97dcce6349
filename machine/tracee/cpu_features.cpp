#include "machine/tracee/cpu_features.h"

#include <cpuid.h>

#include <algorithm>
#include <array>
#include <map>

namespace heddle {
namespace {

enum class Output : uint8_t { eax, ebx, ecx, edx };

struct Feature {
  const char* name;
  uint32_t leaf, subleaf;
  Output output;
  unsigned bit;
};

// Instruction sets beyond the first x86-64 processors'.
constexpr Feature kBaseline[] = {
    {"pni", 1, 0, Output::ecx, 0},
    {"pclmulqdq", 1, 0, Output::ecx, 1},
    {"ssse3", 1, 0, Output::ecx, 9},
    {"cx16", 1, 0, Output::ecx, 13},
    {"sse4_1", 1, 0, Output::ecx, 19},
    {"sse4_2", 1, 0, Output::ecx, 20},
    {"movbe", 1, 0, Output::ecx, 22},
    {"popcnt", 1, 0, Output::ecx, 23},
    {"aes", 1, 0, Output::ecx, 25},
    {"bmi1", 7, 0, Output::ebx, 3},
    {"bmi2", 7, 0, Output::ebx, 8},
    {"erms", 7, 0, Output::ebx, 9},
    {"adx", 7, 0, Output::ebx, 19},
    {"clflushopt", 7, 0, Output::ebx, 23},
    {"clwb", 7, 0, Output::ebx, 24},
    {"sha_ni", 7, 0, Output::ebx, 29},
    {"gfni", 7, 0, Output::ecx, 8},
    {"fsrm", 7, 0, Output::edx, 4},
    {"lahf_lm", 0x80000001, 0, Output::ecx, 0},
    {"abm", 0x80000001, 0, Output::ecx, 5},
    {"sse4a", 0x80000001, 0, Output::ecx, 6},
    {"misalignsse", 0x80000001, 0, Output::ecx, 7},
    {"3dnowprefetch", 0x80000001, 0, Output::ecx, 8},
};
constexpr Feature kAvx[] = {
    {"fma", 1, 0, Output::ecx, 12},        {"xsave", 1, 0, Output::ecx, 26},
    {"avx", 1, 0, Output::ecx, 28},        {"f16c", 1, 0, Output::ecx, 29},
    {"avx2", 7, 0, Output::ebx, 5},        {"vaes", 7, 0, Output::ecx, 9},
    {"vpclmulqdq", 7, 0, Output::ecx, 10}, {"avx_vnni", 7, 1, Output::eax, 4},
};

// Each asked for once: a hypervisor answers.
CpuidAnswer native(uint32_t leaf, uint32_t subleaf) {
  thread_local std::map<std::pair<uint32_t, uint32_t>, CpuidAnswer> known;
  const auto [at, fresh] = known.try_emplace({leaf, subleaf});
  CpuidAnswer& a = at->second;
  if (fresh) __cpuid_count(leaf, subleaf, a.eax, a.ebx, a.ecx, a.edx);
  return a;
}

uint32_t output(const CpuidAnswer& answer, Output which) {
  switch (which) {
    case Output::eax:
      return answer.eax;
    case Output::ebx:
      return answer.ebx;
    case Output::ecx:
      return answer.ecx;
    default:
      return answer.edx;
  }
}

uint64_t xcr0() {
  uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

bool has_leaf(uint32_t leaf) {
  return native(leaf & 0x80000000, 0).eax >= leaf;
}

bool native_has(const Feature& feature) {
  if (!has_leaf(feature.leaf)) return false;
  if (feature.subleaf > 0 && native(feature.leaf, 0).eax < feature.subleaf) return false;
  return output(native(feature.leaf, feature.subleaf), feature.output) >> feature.bit & 1;
}

// Does the system save the registers of AVX, and can the translator emulate XSAVE?
bool runs_avx() {
  const bool enabled = native(1, 0).ecx >> 27 & 1;  // OSXSAVE
  return enabled && (xcr0() & kXcr0) == kXcr0 && has_leaf(7) && (native(7, 0).ebx >> 8 & 1);
}

bool shows_avx(CpuFeatures features) {
  static const bool runs = runs_avx();
  return features == CpuFeatures::avx && runs;
}

// The bits of this output that the tables have.
uint32_t shown(CpuFeatures features, uint32_t leaf, uint32_t subleaf, Output which) {
  uint32_t bits = 0;
  const auto add = [&](const auto& table) {
    for (const auto& f : table)
      if (f.leaf == leaf && f.subleaf == subleaf && f.output == which) bits |= 1u << f.bit;
  };
  add(kBaseline);
  if (shows_avx(features)) add(kAvx);
  return bits;
}

}  // namespace

CpuidAnswer cpuid(CpuFeatures features, uint32_t leaf, uint32_t subleaf) {
  if (leaf == 0xf || leaf == 0x10) return {};   // monitoring and allocation of resources
  if (leaf == 0x12) return {};                  // SGX
  if (leaf == 0x14) return {};                  // processor trace
  if (leaf == 0x19) return {};                  // key locker
  if (leaf == 0x1c) return {};                  // last branch records
  if (leaf == 0x1d || leaf == 0x1e) return {};  // tiles
  if (leaf == 0x23) return {};                  // performance counters
  if (leaf == 0x24) return {};                  // AVX10
  const bool avx = shows_avx(features);
  if (leaf == 0xd) {  // XSAVE: legacy area, header and AVX's, in both formats
    if (!avx) return {};
    if (subleaf == 0) return {static_cast<uint32_t>(kXcr0), 832, 832, 0};
    if (subleaf == 1) return {7, 832, 0, 0};  // XSAVEOPT, XSAVEC, XGETBV with ecx = 1
    if (subleaf == 2) return {256, 576, 0, 0};
    return {};
  }
  CpuidAnswer a = native(leaf, subleaf);
  // Most leaves have no subleaves, and ecx may be anything.
  const auto only = [&](Output which) {
    return shown(features, leaf, leaf == 7 ? subleaf : 0, which);
  };
  switch (leaf) {
    case 1: {
      constexpr uint32_t kHypervisor = 1u << 31, kXsave = 1u << 26, kOsXsave = 1u << 27;
      a.ebx &= 0x00ffffff;  // the rest is the core's APIC id
      a.ecx &= only(Output::ecx) | kHypervisor | kOsXsave;
      if (!avx) a.ecx &= ~(kXsave | kOsXsave);
      break;
    }
    case 7:
      if (subleaf > 1 || subleaf > native(7, 0).eax) return {};
      if (subleaf == 0)
        a.eax = std::min(a.eax, 1u);
      else
        a.eax &= only(Output::eax);
      a.ebx &= only(Output::ebx);
      a.ecx &= only(Output::ecx);
      a.edx &= only(Output::edx);
      break;
    case 0xb:
    case 0x1f:
      a.edx = 0;  // x2APIC id
      break;
    case 0x80000001:
      a.ebx = 0;
      a.ecx &= only(Output::ecx) | 0x2;  // cmp_legacy
      break;
    case 0x80000008:
      a.ebx = 0;  // CLZERO, RDPRU and their like
      break;
    case 0x8000001e:
      a.eax = a.ebx = 0;  // the core's identity
      break;
    default:
      break;
  }
  return a;
}

std::vector<event::CpuidEntry> startup_answers(CpuFeatures features) {
  std::vector<event::CpuidEntry> answers;
  const auto add = [&](uint32_t leaf, uint32_t subleaf, bool any) {
    const auto a = cpuid(features, leaf, subleaf);
    answers.push_back({leaf, subleaf, any, a.eax, a.ebx, a.ecx, a.edx});
  };
  constexpr uint32_t kExtended = 0x8000'0000;
  const auto vendor = cpuid(features, 0, 0);
  const uint32_t last = cpuid(features, kExtended, 0).eax;
  for (const uint32_t leaf : {0u, 1u, 0x14u, 0x19u}) add(leaf, 0, true);
  for (uint32_t leaf = kExtended; leaf <= std::min(last, kExtended + 8); ++leaf) add(leaf, 0, true);
  for (const uint32_t subleaf : {0u, 1u}) add(7, subleaf, false);
  for (const uint32_t subleaf : {0u, 1u, 2u}) add(0xd, subleaf, false);
  // Caches and, of Intel's, translation buffers.
  const bool intel = vendor.ebx == signature_INTEL_ebx;
  if (intel) add(2, 0, true);
  const uint32_t caches = intel ? 4 : 0x8000'001d;
  for (uint32_t subleaf = 0; subleaf < 5 && (intel || last >= caches); ++subleaf) {
    add(caches, subleaf, false);
    if ((answers.back().eax & 31) == 0) break;  // there are no more
  }
  return answers;
}

const event::CpuidEntry* find_answer(std::span<const event::CpuidEntry> answers, uint32_t leaf,
                                     uint32_t subleaf) {
  const auto at = std::ranges::find_if(answers, [&](const event::CpuidEntry& e) {
    return e.leaf == leaf && (e.any_subleaf || e.subleaf == subleaf);
  });
  return at == answers.end() ? nullptr : &*at;
}

std::vector<std::string> shown_features(CpuFeatures features) {
  std::vector<std::string> names;
  for (const auto& f : kBaseline)
    if (native_has(f)) names.emplace_back(f.name);
  if (shows_avx(features))
    for (const auto& f : kAvx)
      if (native_has(f)) names.emplace_back(f.name);
  return names;
}

std::vector<std::string> missing_features(const std::vector<std::string>& needed) {
  const auto here = shown_features(CpuFeatures::avx);
  std::vector<std::string> missing;
  for (const auto& name : needed)
    if (std::ranges::find(here, name) == here.end()) missing.push_back(name);
  return missing;
}

}  // namespace heddle
