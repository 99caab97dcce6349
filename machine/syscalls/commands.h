// Calls whose effects depend on a command word, one file each.
#pragma once

#include "machine/syscalls/table.h"

namespace heddle {

void ioctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out);
std::string ioctl_taint(const CompletedCall& call);
// "TIOCGWINSZ"; nothing for a command that is not known.
const char* ioctl_name(uint64_t command);

void prctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out);
std::string prctl_taint(const CompletedCall& call);

void futex_effects(const CompletedCall& call, std::vector<MemoryRange>& out);

void keyctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out);
std::string keyctl_taint(const CompletedCall& call);

}  // namespace heddle
