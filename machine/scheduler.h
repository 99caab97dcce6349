// Who runs next, and until where.
#pragma once

#include <limits>
#include <span>

#include "trace_format/fault.h"
#include "trace_format/place.h"

namespace heddle {

// Why a task stopped and a decision is due.
enum class DecisionPoint : uint8_t {
  blocked,  // it waits in a system call, or ended: another task must run
  budget,   // the ticks given by the last Decision are used up
  access,   // it is about to perform a watched access (Place::phase 0) or is inside a split one (1)
  syscall,  // a system call of it has just completed
  woken,    // its system call made another task runnable
};

// A range that the task in front of an access is about to touch.
struct Touch {
  uint64_t address = 0;
  uint64_t size = 0;  // bytes
  bool writes = false;
};

struct Situation {
  DecisionPoint why = DecisionPoint::blocked;
  Place at;                       // of the task that ran last
  bool current_runnable = false;  // may at.task go on?
  // By time of becoming runnable, earliest first; then those that wait for a time, by deadline:
  // choosing one lets time jump to it. Never empty; the first `ready` are runnable now.
  std::span<const TaskId> runnable;
  size_t ready = 0;
  TaskId standard = 0;   // whose turn it is where nobody decides, as in a Schedule without a step
  uint64_t address = 0;  // access: the watched address about to be touched
  uint32_t size = 0;     // access: bytes
  bool writes = false;   // access: stores (an update's phase 0 and 1 too)
  // Signals that the outside might send now: recorded ones that have not come yet, and a timer's.
  std::span<const int32_t> signals;
  // Tasks that go on in a signal's handler, or end by it, when they run next.
  std::span<const TaskId> interrupted;
  // access: all that is touched, the above first; several where it is a system call.
  std::span<const Touch> touches;
  // access, in front of a system call: its number, and how else than usual it may end.
  uint64_t call = 0;
  std::span<const Fault> faults;
};

struct Decision {
  TaskId next = 0;                                      // one of Situation::runnable
  Ticks ticks = std::numeric_limits<Ticks>::max() / 2;  // a budget decision is due after so many
  int32_t signal = 0;  // one of Situation::signals: at.task gets it, before `next` runs; 0: none
  Fault fault{};       // one of Situation::faults: the call that at.task is in front of ends so
  bool holds = false;  // at.task is held back, see ScheduleStep
};

// Three things a scheduler does: starts a run, decides, learns how the run ended. Deterministic:
// all randomness comes from the seed that its constructor took.
class Scheduler {
 public:
  virtual ~Scheduler() = default;

  // A new run begins; run numbers count from 0.
  virtual void begin(uint64_t run) = 0;
  virtual Decision decide(const Situation& situation) = 0;
};

}  // namespace heddle
