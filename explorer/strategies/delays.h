// The default rule, but for a few tasks that are held back once.
//
// M. Emmi, S. Qadeer, Z. Rakamaric, "Delay-Bounded Scheduling", POPL 2011: of a deterministic
// scheduler few delays are enough for most failures.
#pragma once

#include <map>
#include <vector>

#include "explorer/strategies/pct.h"
#include "explorer/strategies/random_source.h"
#include "explorer/strategies/spin_watch.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// Run k delays 1 + k % kMostDelays tasks: each the one that runs when a place drawn beforehand is
// reached, which is a tick, an access point or an execution of a target's side, as often each. The
// delayed task is held back (Decision::holds) until others have gone on for long or cannot. Nothing
// else is decided, unless a task spins: the schedule of a run has as many steps as it has delays.
// One that is due while no other task is ready comes as soon as one is.
class Delays final : public Strategy {
 public:
  static constexpr uint32_t kMostDelays = 3;

  // The first delay of a run is at a side of `targets`, if there are any, and never elsewhere.
  enum class First : uint8_t { anywhere, at_a_side };
  // `estimate`: of Pct::Options ticks, accesses and longest_turn.
  Delays(uint64_t seed, const std::vector<Target>& targets, const Pct::Options& estimate,
         First first = First::anywhere);

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "delays"; }
  std::string describe() const override;

 private:
  // A side of targets.
  struct Site {
    uint64_t pc = 0;
    uint32_t count = 0;  // executions in the analysed run; 0: unknown
    bool updates = false;
    bool operator==(const Site&) const = default;
  };
  struct SiteDelay {
    uint64_t pc = 0;
    uint8_t phase = 0;
    uint64_t executions = 0;  // that are left, this one included
  };

  void count(const Situation& situation);
  bool spins(const Situation& situation);

  uint64_t seed_;
  Pct::Options estimate_;
  First first_;
  std::vector<Site> sites_;
  uint64_t run_ = 0;
  RandomSource random_;
  std::vector<Ticks> at_ticks_;        // descending: the next one is the last
  std::vector<uint64_t> at_accesses_;  // likewise
  std::vector<SiteDelay> at_sites_;
  uint32_t owed_ = 0;  // delays that are due
  Ticks ticks_ = 0;
  uint64_t accesses_ = 0;
  std::map<TaskId, Ticks> seen_;  // ticks of each task
  SpinWatch watch_;
  TaskId running_ = 0;
  Ticks turn_ = 0;  // of the task that runs, so far
};

}  // namespace heddle
