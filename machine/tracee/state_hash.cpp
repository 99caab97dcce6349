#include "machine/tracee/state_hash.h"

#include <sys/mman.h>
#include <xxhash.h>

#include <algorithm>

#include "machine/tracee/layout.h"
#include "machine/tracee/process_memory.h"

namespace heddle {

uint64_t hash_range(const GuestMemory& memory, uint64_t start, uint64_t size) {
  constexpr uint64_t kPiece = uint64_t{1} << 20;
  std::vector<uint8_t> bytes(std::min(size, kPiece));
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (uint64_t at = 0; at < size; at += kPiece) {
    const uint64_t wanted = std::min(kPiece, size - at);
    XXH3_64bits_update(state, bytes.data(), memory.read(start + at, {bytes.data(), wanted}));
  }
  const uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return hash;
}

std::vector<event::StateHash::Range> hash_memory(const ProcessMemory& memory) {
  std::vector<event::StateHash::Range> ranges;
  for (const auto& entry : memory.maps()) {
    if (!(entry.prot & PROT_WRITE) || entry.shared || layout::machines_own(entry.start)) continue;
    const uint64_t size = entry.end - entry.start;
    ranges.push_back({entry.start, size, hash_range(memory, entry.start, size)});
  }
  return ranges;
}

uint64_t hash_extended(const ExtendedState& state) {
  return XXH3_64bits(state.bytes.data(), state.bytes.size());
}

}  // namespace heddle
