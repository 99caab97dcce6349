// Faults of a resident guest, and of our own code where it touches the guest's memory.
#pragma once

#include <signal.h>

#include "machine/resident/resident_state.h"

namespace heddle {

// Takes SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP of this process until it is destroyed. A fault
// of the guest's comes out of heddle_resident_enter(), with last_fault() telling what it was; a
// write that only ResidentMemory's mark forbids is let through; guarded_copy() fails. Anything else
// kills the process as it would have. At most one, for `state`.
class FaultHandler {
 public:
  explicit FaultHandler(heddle_resident_state* state);
  ~FaultHandler();
  FaultHandler(const FaultHandler&) = delete;
  FaultHandler& operator=(const FaultHandler&) = delete;

  // The fault that ended the last heddle_resident_enter(); nothing: an exit did.
  bool faulted() const;
  const siginfo_t& last_fault() const;
  uint64_t fault_rip() const;  // host address
  void clear();
};

}  // namespace heddle
