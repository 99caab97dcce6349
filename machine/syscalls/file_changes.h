// Which calls change the contents of a file, and where in it.
#pragma once

#include <optional>

#include "machine/syscalls/table.h"

namespace heddle {

struct FileChange {
  int descriptor = -1;  // of the file; negative: it is named by `path`
  uint64_t path = 0;    // address of its name
  enum class Where : uint8_t {
    at,      // [offset, offset + size)
    before,  // the last `size` bytes before the descriptor's position
    resize,  // its size may be another; contents up to the smaller of both stay
    all,     // anywhere
  };
  Where where = Where::all;
  uint64_t offset = 0;
  uint64_t size = 0;
};

// Nothing for a call that changed no file. An append-only descriptor's `at` is a lie of the
// caller's: the kernel wrote at the end.
std::optional<FileChange> file_change(const Syscall& call, const SyscallArguments& arguments,
                                      int64_t result, const GuestMemory& memory);

// Does madvise with this advice change what the memory holds?
bool loses_contents(uint64_t advice);

}  // namespace heddle
