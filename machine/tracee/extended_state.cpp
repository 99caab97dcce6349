#include "machine/tracee/extended_state.h"

#include <algorithm>
#include <cstring>

namespace heddle {
namespace {
// Offsets in the XSAVE area (Intel SDM vol. 1, 13.4).
constexpr size_t kX87Pointers = 6;  // opcode and addresses of the last x87 instruction: up to 24
constexpr size_t kMask = 28;        // mxcsr_mask
constexpr size_t kSoftware = 464;   // bytes 464..511 belong to software: the kernel's fields
constexpr size_t kHeader = 512;     // xstate_bv first
constexpr uint64_t kX87SseAvx = 7;
}  // namespace

ExtendedState canonical_state(const RawExtendedState& raw) {
  ExtendedState state{};
  std::memcpy(state.bytes.data(), raw.data(), std::min(raw.size(), state.bytes.size()));
  std::memset(state.bytes.data() + kX87Pointers, 0, 24 - kX87Pointers);
  std::memcpy(state.bytes.data() + kMask, &kMxcsrMask, sizeof kMxcsrMask);
  std::memset(state.bytes.data() + kSoftware, 0, kHeader - kSoftware);
  std::memset(state.bytes.data() + kHeader, 0, 64);
  std::memcpy(state.bytes.data() + kHeader, &kX87SseAvx, sizeof kX87SseAvx);
  return state;
}

RawExtendedState with_canonical(RawExtendedState raw, const ExtendedState& state) {
  uint64_t present = 0;
  std::memcpy(&present, raw.data() + kHeader, sizeof present);
  std::memcpy(raw.data(), state.bytes.data(), kSoftware);
  const size_t avx = kHeader + 64;
  if (raw.size() >= state.bytes.size())
    std::memcpy(raw.data() + avx, state.bytes.data() + avx, state.bytes.size() - avx);
  present |= raw.size() >= state.bytes.size() ? kX87SseAvx : 3;
  std::memcpy(raw.data() + kHeader, &present, sizeof present);
  return raw;
}

}  // namespace heddle
