// What a system call did to memory, and what clone was asked for.
#pragma once

#include <array>
#include <optional>

#include "machine/guest_memory.h"
#include "machine/syscalls/table.h"
#include "trace_format/event.h"

namespace heddle {

using SyscallArguments = std::array<uint64_t, 6>;

// The memory that the kernel wrote for a completed call, read from the guest after it.
std::vector<MemoryEffect> collect_effects(const Syscall& call, const SyscallArguments& arguments,
                                          int64_t result, const GuestMemory& memory);

// Can it wait for something (with these arguments)?
bool may_block(const Syscall& call, const SyscallArguments& arguments);

// clone, clone3, fork and vfork as one (struct clone_args, uapi/linux/sched.h).
struct CloneArguments {
  uint64_t flags = 0;
  uint64_t stack = 0;  // the child's rsp; 0: the parent's
  uint64_t parent_tid = 0;
  uint64_t child_tid = 0;
  uint64_t tls = 0;
  uint64_t pidfd = 0;  // CLONE_PIDFD: where the descriptor is written
};
// Nothing for other calls; also for an unreadable clone_args.
std::optional<CloneArguments> clone_arguments(uint64_t number, const SyscallArguments& arguments,
                                              const GuestMemory& memory);

}  // namespace heddle
