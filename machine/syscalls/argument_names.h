// Names of the values that arguments have. Internal to machine/syscalls.
#pragma once

#include <cstdint>
#include <string>

#include "machine/syscalls/table.h"

namespace heddle {

// "O_RDWR|O_CREAT" for flags, "SEEK_SET" for choices; numbers and addresses as such.
std::string argument_text(Kind kind, uint64_t value);

// Printable characters as they are, others escaped, in quotes; "..." behind them if there is more.
std::string quoted(const std::string& bytes, size_t limit);

}  // namespace heddle
