// Where the machine's own memory lies in a guest's address space. The same for recording, replay
// and exploration, so that a trace made under one runs under the others.
#pragma once

#include <array>
#include <cstdint>

namespace heddle::layout {

struct Range {
  uint64_t start;
  uint64_t size;  // bytes
  constexpr uint64_t end() const { return start + size; }
  constexpr bool contains(uint64_t address) const { return address - start < size; }
};

// Below 2 GiB, so that translated code reaches them with a 32-bit displacement.
inline constexpr Range kLookupTable{0x6000'0000, 0x8'0000};
inline constexpr Range kReturnTable{0x6008'0000, 0x8'0000};
inline constexpr Range kRuntimeText{0x6010'0000, 0x1'0000};
inline constexpr uint64_t kRuntimeCode = kRuntimeText.start + 0x100;  // the runtime's first byte
inline constexpr uint64_t kMissCode = kRuntimeText.start + 0x8000;
inline constexpr Range kSyscallLog{0x6020'0000, 0x40'0000};
inline constexpr Range kRuntimeData{0x6070'0000, 0x4000};    // struct heddle_runtime_data
inline constexpr Range kCpuidTable{0x6071'0000, 0x1000};     // struct heddle_cpuid_table
inline constexpr Range kNativeClock{0x6080'0000, 0x2'0000};  // the vDSO and what it reads
inline constexpr Range kAccessLog{0x6100'0000, 0x100'0000};
// Bytes of it that are used: what a processor's cache holds. What follows is the guard.
inline constexpr uint64_t kAccessLogUsed = 0x10'0000;
inline constexpr Range kScratch{0x6300'0000, 0x400'0000};  // kScratchPerTask each
inline constexpr uint64_t kScratchPerTask = 0x1'0000;
inline constexpr Range kTaskStates{0x6800'0000, 0x100'0000};
inline constexpr uint64_t kTaskStateStride = 0x4000;  // state page, then the runtime's stack
inline constexpr uint32_t kMaxTasks = 1024;

// All of the above, reserved as a whole.
inline constexpr Range kFixed{0x6000'0000, 0x900'0000};

// Code arenas: translated code lies within 2 GiB of its source, so RIP-relative operands are only
// re-biased. One each for what the kernel places at the bottom (static executables), the middle
// (position-independent executables) and the top (libraries) of an address space that is not
// randomised. The first page of each is the hot state (machine/runtime/task_state.h); code follows.
inline constexpr std::array<Range, 3> kArenas{{
    {0x7000'0000, 0x800'0000},
    {0x5555'4555'4000, 0x800'0000},
    {0x7fff'd000'0000, 0x800'0000},
}};

// Analysis: what is known of each line of memory (machine/tracee/line_table.h). From below 2 GiB,
// where a displacement reaches its start.
inline constexpr Range kLineTable{0x7900'0000, 0x8'0000'0000};

inline constexpr uint64_t kHotStateSize = 0x1000;

// The hot state as code at host address `host` addresses it.
inline uint64_t hot_state(uint64_t host) {
  for (const auto& arena : kArenas)
    if (arena.contains(host)) return arena.start;
  return kArenas[0].start;
}

// Scratch for the calls with large buffers, mapped when a task makes its first.
inline constexpr Range kLargeScratch{0x2a00'0000'0000, 0x100'0000'0000};
inline constexpr uint64_t kLargeScratchPerTask = 0x4000'0000;
static_assert(kLargeScratch.size == kLargeScratchPerTask * kMaxTasks);

// Is this address in one of them?
inline bool machines_own(uint64_t address) {
  bool own = kFixed.contains(address) || kLargeScratch.contains(address);
  for (const auto& arena : kArenas) own = own || arena.contains(address);
  return own;
}

}  // namespace heddle::layout
