#include "machine/syscalls/given.h"

#include <vector>

#include "trace_format/syscall_log.h"

namespace heddle {

std::optional<uint64_t> given(uint64_t number, const SyscallArguments& arguments, int64_t result,
                              const GuestMemory& memory) {
  if (result <= 0 || !heddle_takes_bytes(number)) return std::nullopt;
  std::vector<uint8_t> bytes(static_cast<size_t>(result));
  if (memory.read(arguments[1], bytes) != bytes.size()) return std::nullopt;
  return heddle_given(bytes.data(), bytes.size());
}

}  // namespace heddle
