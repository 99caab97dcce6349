// A read or write of memory, of a file descriptor or of a signal mask, as the analysis sees it.
#pragma once

#include <cstdint>

#include "trace_format/place.h"

namespace heddle {

// A logical thread of the analysis: a kernel thread, a goroutine or a signal handler's activation.
// Numbered from 1 in order of first appearance in the run.
using StrandId = uint32_t;

enum class AccessKind : uint8_t {
  read,
  write,
  update,  // unlocked read-modify-write: both, can be torn
  locked,  // lock-prefixed, or xchg with memory: acquires and releases its address
};

struct Access {
  StrandId strand = 0;
  Place place;  // place.pc is the access site
  uint64_t address = 0;
  uint32_t size = 0;  // bytes; string instructions: of the whole operation
  AccessKind kind = AccessKind::read;
  // 1 + the number of the system call in which the kernel made it; 0: the program's own.
  uint16_t by_call = 0;
  bool ordered_only = false;  // synchronises, but is never a side of a race (library internals)
};

}  // namespace heddle
