// Calls that are refused for what they ask, not by their number.
#pragma once

#include <optional>

#include "machine/syscalls/table.h"

namespace heddle {

// The errno that such a call gets without the kernel being asked; nothing for any other. A filter
// of the program's own would answer the machine's calls too, so there is none: as in a kernel
// without seccomp (prctl(2), PR_SET_SECCOMP).
std::optional<int> refused(const Syscall& entry, const SyscallArguments& arguments);

}  // namespace heddle
