// From an argument's Extent to ranges of memory. Internal to machine/syscalls.
#pragma once

#include "machine/syscalls/table.h"

namespace heddle {

// Appends what the kernel wrote through argument `index`.
void written_ranges(const Syscall& call, size_t index, const CompletedCall& done,
                    std::vector<MemoryRange>& out);

// The lengths of argument `index` that the call overwrites, in the order in which written_ranges
// asks for them.
void input_lengths(const Syscall& call, size_t index, const SyscallArguments& arguments,
                   const GuestMemory& memory, std::vector<uint64_t>& out);

// The most that the kernel may write through argument `index` by itself: not through pointers in
// the memory there. 0 where only more_effects knows.
uint64_t room_of(const Syscall& call, size_t index, const SyscallArguments& arguments,
                 const GuestMemory& memory);

}  // namespace heddle
