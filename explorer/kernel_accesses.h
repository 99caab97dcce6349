// What the kernel reads and writes on a task's behalf in a system call, as accesses.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "machine/access.h"
#include "machine/kernel.h"

namespace heddle {

// A location is memory, an entry of the descriptor table, or the number of a process: those have
// addresses that no program can use. Using a descriptor's number reads its entry; opening, closing
// and duplicating to it write it. Sending a signal reads a process's number; waiting for its end
// writes it, since it is free then.
struct KernelAccess {
  uint64_t address = 0;
  uint64_t size = 0;  // bytes
  AccessKind kind = AccessKind::read;
  bool operator==(const KernelAccess&) const = default;
};

inline constexpr uint64_t kDescriptorBytes = 8;
uint64_t descriptor_location(int descriptor);
// The number of the entry at `address`; nothing for memory.
std::optional<int> descriptor_at(uint64_t address);
// Of processes' numbers, likewise.
std::optional<int32_t> process_at(uint64_t address);
// "descriptor 5", "number of process 1234", or what signal_accesses.h has; empty for memory.
std::string location_name(uint64_t address, uint64_t size = 1);

// Of a completed call. Calls about threads, futexes and mappings have none here: what they touch
// orders tasks, or belongs to the kernel's own bookkeeping. Those about signals: signal_accesses.h.
std::vector<KernelAccess> kernel_accesses(const event::Syscall& call, const GuestMemory& memory);

// Of a call that is about to be made: all that it may touch.
std::vector<KernelAccess> coming_accesses(const SyscallRequest& request, const GuestMemory& memory);

}  // namespace heddle
