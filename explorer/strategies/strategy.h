// What the explorer's schedulers have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "machine/scheduler.h"

namespace heddle {

// A pair of access sites to be put next to each other.
struct Target {
  uint64_t first_pc = 0, second_pc = 0;
  uint64_t address = 0;                        // where the two met in the analysed run; 0: anywhere
  uint32_t size = 0;                           // bytes, with address
  uint32_t first_count = 0, second_count = 0;  // executions in the analysed run; 0: unknown
  bool first_updates = false, second_updates = false;  // unlocked read-modify-writes
  bool operator==(const Target&) const = default;
};

// What a run put next to each other: a target, by number, and whether its second side came first.
struct Meeting {
  uint64_t target = 0;
  bool second_first = false;
  bool operator==(const Meeting&) const = default;
};

// Those that need not wait for time to pass; choosing another one is a jump in time.
inline std::span<const TaskId> ready(const Situation& situation) {
  return situation.runnable.first(situation.ready);
}

// A Scheduler with a name. Run k of a strategy with seed s makes the same decisions in the same
// situations, whichever runs came before; one that learns does so between rounds, so that a run may
// depend on the lessons of earlier rounds, but not on the runs of its own.
class Strategy : public Scheduler {
 public:
  // Of the family, for the command line and tables: "pct".
  virtual std::string name() const = 0;
  // What the current run does, on one line: "pct depth 3 seed 7 run 12".
  virtual std::string describe() const = 0;

  // Why another run would be of no use; empty: it might be.
  virtual std::string finished() const { return {}; }

  // Is it to be asked in front of every system call that can meet a fault?
  virtual bool injects_faults() const { return false; }

  // What the run that just ended put next to each other, if that is what it was for.
  virtual std::optional<Meeting> met() const { return std::nullopt; }

  // How many runs make a round; 0: it does not learn.
  virtual uint64_t round() const { return 0; }
  // What the run that just ended has taught.
  virtual std::string lesson() const { return {}; }
  // The lessons of a round's runs, in their order.
  virtual void learn(const std::vector<std::string>& lessons) { (void)lessons; }
};

}  // namespace heddle
