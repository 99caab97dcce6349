// What the kernel writes when a thread ends that still holds robust futexes.
#pragma once

#include <cstdint>
#include <vector>

#include "machine/guest_memory.h"
#include "trace_format/event.h"

namespace heddle {

// `head` is what set_robust_list was given (0: nothing), `tid` the thread's as the futex words have
// it (kernel/futex/core.c, exit_robust_list).
std::vector<MemoryEffect> robust_list_effects(uint64_t head, uint32_t tid,
                                              const GuestMemory& memory);

}  // namespace heddle
