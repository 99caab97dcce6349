// A copy that survives a fault, while a resident guest's fault handler is in place.
#pragma once

#include <cstddef>

extern "C" bool heddle_guarded_copy(void* to, const void* from, size_t size);
// Where a fault in it goes on, and the addresses that it may fault at.
extern "C" const char heddle_guarded_copy_begin, heddle_guarded_copy_end, heddle_guarded_copy_fault;

namespace heddle {

// False: it met memory that cannot be accessed; part of it may be copied.
inline bool guarded_copy(void* to, const void* from, size_t size) {
  return heddle_guarded_copy(to, from, size);
}

}  // namespace heddle
