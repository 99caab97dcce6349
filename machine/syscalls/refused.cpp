#include "machine/syscalls/refused.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>

namespace heddle {

std::optional<int> refused(const Syscall& entry, const SyscallArguments& arguments) {
  if (entry.number == SYS_prctl && static_cast<int>(arguments[0]) == PR_SET_SECCOMP) return EINVAL;
  return std::nullopt;
}

}  // namespace heddle
