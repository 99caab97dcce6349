// What a system call did to memory, and what it needs while it is under way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/syscalls/table.h"
#include "trace_format/event.h"

namespace heddle {

// Lengths that the call is given and overwrites; taken before it is made.
SyscallInputs inputs(const Syscall& call, const SyscallArguments& arguments,
                     const GuestMemory& memory);

// The memory that the kernel wrote for a completed call, in no particular order, without empty
// ranges. After EFAULT, which may come in the middle: all that the call might have written.
std::vector<MemoryRange> effects(const Syscall& call, const SyscallArguments& arguments,
                                 int64_t result, const GuestMemory& memory,
                                 const SyscallInputs& before);

// The contents of these ranges, as far as they are mapped.
std::vector<MemoryEffect> contents(const std::vector<MemoryRange>& ranges,
                                   const GuestMemory& memory);

// Why effects() is not all that the call did (for a person); empty: it is.
std::string unknown_effects(const Syscall& call, const SyscallArguments& arguments, int64_t result,
                            const GuestMemory& memory);

// The names (of files, mostly) that the call is given, in the order of its arguments; up to the
// first that cannot be read.
std::vector<std::string> texts(const Syscall& call, const SyscallArguments& arguments,
                               const GuestMemory& memory);

// Can it wait for something (with these arguments)?
bool may_block(const Syscall& call, const SyscallArguments& arguments, const GuestMemory& memory);

// Of a call that may block: can it only end by time passing or by a signal?
bool only_sleeps(const Syscall& call);

// read, write and their like, whose first argument is the descriptor. On a regular file they do not
// wait, whatever may_block says.
bool transfers_data(const Syscall& call);

// The signal mask that the call puts in place while it waits (ppoll, rt_sigsuspend and their like);
// nothing for other calls and where it leaves the mask alone.
std::optional<uint64_t> temporary_mask(const Syscall& call, const SyscallArguments& arguments,
                                       const GuestMemory& memory);

// A buffer that the kernel writes, or a structure that points at one.
struct SyscallBuffer {
  uint64_t address = 0;
  uint64_t size = 0;     // bytes
  bool written = false;  // by the kernel
  bool read = true;      // by the kernel: its contents matter before the call
  // Where the pointer to it lies: an argument, or `offset` bytes into buffer `inside`.
  int argument = -1;
  int inside = -1;
  uint64_t offset = 0;
};

// The buffers to put elsewhere so that a call that waits writes no memory that other tasks see. A
// buffer comes after the one that points at it.
std::vector<SyscallBuffer> buffers(const Syscall& call, const SyscallArguments& arguments,
                                   const GuestMemory& memory);

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
