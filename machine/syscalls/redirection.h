// A call whose buffers are somewhere else than the guest said: the kernel may then write them at
// any time, and the guest sees it when the effects are copied.
#pragma once

#include "machine/syscalls/effects.h"

namespace heddle {

class Redirection {
 public:
  // Bytes that the buffers take in a scratch area.
  static uint64_t room(const std::vector<SyscallBuffer>& buffers);

  // Copies what the kernel will read to the scratch area at `scratch`, which has room for it, and
  // points the arguments and the structures there. Nothing where a buffer is not mapped: the call
  // is then best made as it is.
  static std::optional<Redirection> make(const std::vector<SyscallBuffer>& buffers,
                                         const SyscallArguments& arguments, uint64_t scratch,
                                         GuestMemory& memory);

  const SyscallArguments& arguments() const { return arguments_; }
  // Where the guest has the byte that the kernel has at `address`.
  uint64_t original(uint64_t address) const;

 private:
  struct Moved {
    uint64_t from, to, size;
  };
  SyscallArguments arguments_{};
  std::vector<Moved> moved_;
};

}  // namespace heddle
