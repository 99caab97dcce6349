// What a program inherits of its caller's signals (execve(2)).
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace heddle {

// Bit N-1 for signal N.
struct InheritedSignals {
  uint64_t blocked = 0;
  uint64_t ignored = 0;
};

// Of the process `pid`, as /proc says; nothing where it cannot be read.
InheritedSignals inherited_signals(pid_t pid);

}  // namespace heddle
