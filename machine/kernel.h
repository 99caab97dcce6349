// Who answers a guest's system calls: live, from a trace, or from a model.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "machine/guest_memory.h"
#include "trace_format/event.h"
#include "trace_format/place.h"

namespace heddle {

struct SyscallRequest {
  uint64_t number = 0;
  std::array<uint64_t, 6> arguments{};
  Place place;  // of the syscall instruction
  bool operator==(const SyscallRequest&) const = default;
};

// What becomes of a request.
struct SyscallAnswer {
  enum class Kind : uint8_t {
    done,     // result and effects are final; write the effects, set rax
    perform,  // an address-space call: do it for real in the guest's process, then tell performed()
    blocks,   // the task waits; its answer comes later from Kernel::collect
    new_task,      // clone or vfork: make task `child`; result goes to the caller
    task_exit,     // the task is over; effects are the kernel's writes at its end
    process_exit,  // exit_group or a fatal signal: the process is over with `status`
    child_exit,    // exit of the only task of another process, with `status`
    left,          // execve: the task's process goes on outside
    sigreturn,     // rt_sigreturn: the caller restores the frame at rsp
    infeasible,    // this kernel cannot answer; `reason` says why
  };
  Kind kind = Kind::done;
  int64_t result = 0;
  std::vector<MemoryEffect> effects;
  TaskId child = 0;
  bool makes_process = false;  // new_task: `child` is in a process of its own
  int32_t status = 0;          // wait(2)'s status word
  std::string reason;
};

}  // namespace heddle
