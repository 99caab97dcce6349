// A system call as a person reads it.
#pragma once

#include <string>

#include "trace_format/event.h"

namespace heddle {

// "openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3", "read(3, "root:x:"..., 4096) = 1532",
// "kill(7, SIGUSR1) = -1 EPERM". What the trace does not have (the bytes written by write, say) is
// an address.
std::string describe_call(const event::Syscall& call);
// The same without the result, for a call that has none yet.
std::string describe_request(const event::Syscall& call);

}  // namespace heddle
