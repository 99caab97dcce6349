// Hashes of a task's and its memory's state, the same in a recording and in its replays.
#pragma once

#include <vector>

#include "machine/guest_memory.h"
#include "machine/tracee/extended_state.h"
#include "machine/tracee/process_memory.h"
#include "trace_format/event.h"

namespace heddle {

// The guest's private writable mappings, with their hashes.
std::vector<event::StateHash::Range> hash_memory(const ProcessMemory& memory);

// XXH3 (64 bits) of [start, start + size); what is not readable counts as missing.
uint64_t hash_range(const GuestMemory& memory, uint64_t start, uint64_t size);

uint64_t hash_extended(const ExtendedState& state);

}  // namespace heddle
