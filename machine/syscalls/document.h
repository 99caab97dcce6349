// The table as a page of documentation.
#pragma once

#include <string>

namespace heddle {

// docs/syscalls.md, whole.
std::string syscall_page();

}  // namespace heddle
