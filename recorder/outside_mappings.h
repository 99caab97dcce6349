// Who else can change what a shared mapping shows.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace heddle {

// Does a process other than `pid` map the file that `pid` maps at `start`, shared and writable?
// Processes whose maps we may not read are passed over.
bool written_by_others(pid_t pid, uint64_t start);

}  // namespace heddle
