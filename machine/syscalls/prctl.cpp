// What prctl's options write.
#include <sys/prctl.h>

#include "machine/syscalls/commands.h"

namespace heddle {

void prctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  const uint64_t at = call.arguments[1];
  switch (call.arguments[0]) {
    case PR_GET_NAME:
      out.push_back({at, 16});
      break;
    case PR_GET_PDEATHSIG:
    case PR_GET_UNALIGN:
    case PR_GET_FPEMU:
    case PR_GET_FPEXC:
    case PR_GET_TSC:
    case PR_GET_CHILD_SUBREAPER:
    case PR_GET_ENDIAN:
      out.push_back({at, 4});
      break;
    case PR_GET_TID_ADDRESS:
      out.push_back({at, 8});
      break;
    default:
      break;
  }
}

std::string prctl_taint(const CompletedCall& call) {
  if (call.result < 0) return {};
  switch (call.arguments[0]) {
    case PR_SET_MM:
      return "prctl PR_SET_MM: /proc/self changes, memory does not";
    case PR_SET_SYSCALL_USER_DISPATCH:
      return "prctl PR_SET_SYSCALL_USER_DISPATCH is not followed";
    default:
      return {};
  }
}

}  // namespace heddle
