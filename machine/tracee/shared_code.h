// The memory that translated code is in, as the supervisor has it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "machine/runtime/task_state.h"
#include "machine/tracee/layout.h"
#include "machine/tracee/process_memory.h"

namespace heddle {

// Memory that the supervisor and every process forked from the first one share: translated code,
// the lookup table and the hot state. Owns the supervisor's mapping of it.
class SharedCode {
 public:
  // Where in their file the tables, the hot state and the arenas are, and how large it is: bytes.
  static constexpr uint64_t kReturnsAt = layout::kLookupTable.size;
  static constexpr uint64_t kHotAt = kReturnsAt + layout::kReturnTable.size;
  static constexpr uint64_t kArenasAt = 0x20'0000;
  static_assert(kHotAt + layout::kHotStateSize <= kArenasAt);
  static constexpr uint64_t arena_at(size_t i) {
    uint64_t at = kArenasAt;
    for (size_t k = 0; k < i; ++k) at += layout::kArenas[k].size;
    return at;
  }
  static uint64_t file_size() { return arena_at(layout::kArenas.size()); }

  SharedCode();
  ~SharedCode();
  SharedCode(const SharedCode&) = delete;
  SharedCode& operator=(const SharedCode&) = delete;

  // Writes to translated code at a host address, in all of them.
  void write(uint64_t host, std::span<const uint8_t> bytes) const;

  // Maps the file that it is in, which it makes as large as it must be; the tables are empty.
  void map(int fd);

  uint8_t* base = nullptr;  // of all that is shared
  std::array<uint8_t*, layout::kArenas.size()> arenas{};
  // Host addresses: up to there each arena shows a file of translations (map_translations), of
  // which every process has a copy of its own. `arenas` has nothing of it.
  std::array<uint64_t, layout::kArenas.size()> own_end;
  std::vector<std::weak_ptr<ProcessMemory>> processes;  // that have this code
  uint8_t* lookup = nullptr;
  uint8_t* returns = nullptr;  // the table of returns
  // Where the tables lead for what has no pad.
  uint64_t lookup_miss = 0;
  uint64_t return_miss = 0;
  heddle_hot_state* hot = nullptr;
};

}  // namespace heddle
