// Clocks, sleeping and the process's timers in virtual time.
#pragma once

#include <array>
#include <optional>

#include "explorer/model/run_queue.h"

namespace heddle::model {

// A value. The wall clock and the monotonic one begin somewhere of ours and go on with virtual
// time; so does every other clock.
class Clocks {
 public:
  // How a time limit is meant.
  enum class Limit : uint8_t { relative, monotonic, wall };
  struct Deadline {
    uint64_t at = kNever;  // in virtual time
    int64_t error = 0;     // -EFAULT, -EINVAL
  };
  // Of a timespec in guest memory; none: null, no limit.
  Deadline deadline(uint64_t timespec, Limit meant, uint64_t now, const GuestMemory& memory) const;

  // Nothing for a call that is not about time.
  std::optional<SyscallAnswer> call(const SyscallRequest& request, const GuestMemory& memory,
                                    RunQueue& queue);

  // ITIMER_REAL has run out by now: SIGALRM is due. Once for each time that it did.
  bool alarm_due(uint64_t now);
  // kNever: no timer is set.
  uint64_t next_alarm() const { return alarm_; }

 private:
  // What the clock numbered `clock` shows; nothing: there is no such clock.
  static std::optional<uint64_t> reading(uint64_t clock, uint64_t now);
  SyscallAnswer sleep(const SyscallRequest& request, const GuestMemory& memory, RunQueue& queue);
  SyscallAnswer set_timer(const SyscallRequest& request, const GuestMemory& memory, uint64_t now);
  SyscallAnswer alarm(uint64_t seconds, uint64_t now);

  uint64_t alarm_ = kNever;      // when ITIMER_REAL runs out next
  uint64_t alarm_interval_ = 0;  // 0: once
};

}  // namespace heddle::model
