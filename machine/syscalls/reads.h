// The memory that a system call takes in: what must not change while it is under way.
#pragma once

#include <vector>

#include "machine/guest_memory.h"
#include "machine/syscalls/table.h"

namespace heddle {

// Data to be written or sent, path names, vectors, and the structures of the calls that programs
// share between threads. Small structures of other calls are left out. Of data, as much as `result`
// says was taken. In no particular order, without empty ranges.
std::vector<MemoryRange> reads(const Syscall& call, const SyscallArguments& arguments,
                               int64_t result, const GuestMemory& memory);

}  // namespace heddle
