// Takes a signal natively, in a child process, and brings back what the kernel did.
#pragma once

#include <signal.h>

#include <array>
#include <cstdint>
#include <vector>

#include "machine/tracee/signal_frame.h"

namespace heddle {

struct NativeFrame {
  uint64_t frame = 0;           // address of struct rt_sigframe
  uint64_t extended = 0;        // of the saved extended state
  uint32_t state_size = 0;      // of that, without the second magic number
  std::vector<uint8_t> bytes;   // from `frame` up to its end
  std::vector<uint8_t> state;   // from `extended`, with the second magic number
  Registers at_entry;           // of the handler: rdi, rsi, rdx, rax, rsp, rflags, rip
  uint32_t mxcsr_at_entry = 0;  // and what its vector state starts with
  uint16_t control_at_entry = 0;
  Registers interrupted;  // as the frame has them
};

enum class Raised : uint8_t {
  by_tgkill,
  by_write_to_read_only,
  by_read_of_nothing,
  by_ud2,
  by_divide
};

// Installs a handler with these flags, optionally on an alternate stack, fills the stack below with
// 0xcc, and raises.
struct NativeRequest {
  int signal = SIGUSR1;
  uint64_t flags = SA_SIGINFO;
  uint64_t blocked = 0;  // signals blocked meanwhile
  bool alternate = false;
  int32_t alternate_flags = 0;
  Raised raised = Raised::by_tgkill;
};
NativeFrame take_natively(const NativeRequest& request);

// The alternate stack of such a child.
AlternateStack native_alternate_stack(const NativeRequest& request);

}  // namespace heddle
