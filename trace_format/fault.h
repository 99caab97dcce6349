// An answer to a system call that the kernel may give and did not in the recording.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heddle {

enum class FaultKind : uint8_t {
  none,
  interrupted,     // EINTR, as from a signal (signal(7)), of a call that waits
  short_transfer,  // `argument` bytes are moved instead of all; of several buffers, the first one
  no_memory,       // ENOMEM of a mapping, EAGAIN of clone
  late,            // what was ready is ready a moment later: EAGAIN, or the time-out comes first
  wake_choice,     // of the waiters of a futex word the one with this number (from 0) is first
};

struct Fault {
  FaultKind kind = FaultKind::none;
  uint32_t argument = 0;
  bool operator==(const Fault&) const = default;
};

// "eintr", "short:12", "nomem", "late", "wake:1"; empty for none.
std::string fault_text(const Fault& fault);
// The inverse for one that is. Throws std::invalid_argument naming what is no fault.
Fault parse_fault(std::string_view text);

}  // namespace heddle
