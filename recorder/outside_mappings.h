// Who else can change what a shared mapping shows.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

namespace heddle {

// Does a process that is not of `tree` map the file that `pid` maps at `start`, shared and
// writable? Processes whose maps we may not read are passed over. `file`: a path to it.
bool written_by_others(const std::set<pid_t>& tree, pid_t pid, uint64_t start,
                       const std::string& file);

// In how many pieces the address spaces of these processes (one for each space) map a System V
// segment: what shm_nattch counts of them. A piece ends where the protection changes.
size_t attachments(const std::set<pid_t>& processes, int segment);

}  // namespace heddle
