// The addresses of a program that is not placed at random, where the system refuses
// personality(ADDR_NO_RANDOMIZE), as the default seccomp profile of containers does: what the
// kernel has placed is moved before the program's first instruction, and where later mappings go is
// chosen here. Otherwise code would lie out of the code arenas' reach.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "machine/tracee/process_memory.h"

namespace heddle {

class HostProcess;

// Are the addresses of the process random? From its personality.
bool has_random_addresses(pid_t pid);

// Is what may be read also executable (READ_IMPLIES_EXEC)? Likewise.
bool reading_executes(pid_t pid);

// Moves program, interpreter and stack of a process that stands at its first instruction, and mends
// its registers and what the stack says of addresses (argv, envp and auxv: System V ABI, x86-64
// supplement, 3.4.1). Remote calls must be possible. A program at fixed addresses stays where it
// is. What the kernel itself remembers of the stack, /proc/PID/cmdline for one, is lost.
void move_to_fixed_addresses(HostProcess& process);

// Where a mapping of so many bytes goes that may go anywhere: below the stack and what was mapped
// before, as the kernel has it. 0 where there is no room.
uint64_t address_for_mapping(const std::vector<MapsEntry>& maps, uint64_t size);

}  // namespace heddle
