// The runtime's code, to be copied to layout::kRuntimeCode, and how far a call in it has come.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace heddle::runtime {

// Position independent. Its first byte is the entry (heddle_task_state::syscall_entry).
std::span<const uint8_t> code();

// What a thread that is about to execute the runtime's byte at some offset has done already. The
// ranges of docs/architecture.md, in their order: arriving, deciding and at, uncommitted,
// committed.
struct Progress {
  bool registers_saved = false;  // heddle_task_state::saved holds the guest's; the CPU's are ours
  bool flags_saved = false;      // ... and saved_flags the flags
  bool called = false;           // the system call was made, or answered
  bool committed = false;        // its entry is in the log
};

// Nothing for an offset outside of the code.
std::optional<Progress> progress(uint64_t offset);

// misses.c, to be copied to layout::kMissCode, and offsets in it: where an indirect and a direct
// transfer go that find no translation, and the int3 where they stop.
std::span<const uint8_t> miss_code();
uint64_t lookup_miss();
uint64_t return_miss();
uint64_t link_miss();
uint64_t miss_stop();
// The same of a used up counter: where it is filled again, and the int3 where there is nothing
// left.
uint64_t budget();
uint64_t budget_stop();
uint64_t cpuid();  // where a cpuid instruction goes

}  // namespace heddle::runtime
