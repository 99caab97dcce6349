// What a call takes from the guest's memory, as a digest.
#pragma once

#include <cstdint>
#include <optional>

#include "machine/guest_memory.h"
#include "machine/syscalls/table.h"

namespace heddle {

// heddle_given() (trace_format/syscall_log.h) of what a call took that returned `result`, as the
// memory is now. Nothing for calls that took nothing, or whose bytes lie in several places.
std::optional<uint64_t> given(uint64_t number, const SyscallArguments& arguments, int64_t result,
                              const GuestMemory& memory);

}  // namespace heddle
