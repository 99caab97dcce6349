// What the kernel reads and writes on a task's behalf in a system call, as accesses.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "machine/access.h"
#include "machine/kernel.h"

namespace heddle {

// A location is memory, or an entry of the descriptor table: those have addresses that no program
// can use. Using a number reads its entry; opening, closing and duplicating to it write it.
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
// "descriptor 5", or what signal_accesses.h has; empty for memory.
std::string location_name(uint64_t address, uint64_t size = 1);

// Of a completed call. Calls about threads, futexes and mappings have none here: what they touch
// orders tasks, or belongs to the kernel's own bookkeeping. Those about signals: signal_accesses.h.
std::vector<KernelAccess> kernel_accesses(const event::Syscall& call, const GuestMemory& memory);

// Of a call that is about to be made: all that it may touch.
std::vector<KernelAccess> coming_accesses(const SyscallRequest& request, const GuestMemory& memory);

}  // namespace heddle
