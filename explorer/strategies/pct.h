// Random priorities with few changes.
//
// S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, "A Randomized Scheduler with
// Probabilistic Guarantees of Finding Bugs", ASPLOS 2010: with n tasks and k steps a bug of depth d
// (that d ordering constraints are enough for) is found by a run with a probability of at least 1 /
// (n k^(d-1)).
#pragma once

#include <map>
#include <vector>

#include "explorer/strategies/random_source.h"
#include "explorer/strategies/spin_watch.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// The runnable task of the highest priority runs. At each of depth - 1 steps, drawn beforehand, the
// task that runs falls below all others. A step is a tick; where there are access points each
// change is drawn from these as often as from the ticks, so that k is twice their number for a bug
// that shows at access points alone.
//
// The paper's programs do not spin. A task that goes on for long, or does the same again and again
// (SpinWatch), while others could run, falls below all others too; without that the rest would
// starve.
class Pct final : public Strategy {
 public:
  struct Options {
    uint32_t depth = 3;
    // Of all tasks from the first decision to the end, estimated from the recording.
    Ticks ticks = 100'000;
    uint64_t accesses = 0;           // access points passed, an update's two halves as two; 0: none
    Ticks longest_turn = 1'000'000;  // then a task is taken to spin
    uint32_t most_spent = 16;        // budgets in a row, likewise
  };

  Pct(uint64_t seed, const Options& options) : seed_(seed), options_(options) {}

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "pct"; }
  std::string describe() const override;

 private:
  struct Progress {
    int64_t priority = 0;  // the highest runs
    Ticks ticks = 0;       // when last seen
    Ticks turn = 0;        // since it was chosen in another's place
    uint32_t spent = 0;    // budgets, likewise
  };

  Progress& progress(TaskId task);
  void count(const Situation& situation);
  bool spins(const Situation& situation);
  void lower(Progress& task) { task.priority = --lowest_; }

  uint64_t seed_;
  Options options_;
  uint64_t run_ = 0;
  RandomSource random_;
  SpinWatch watch_;
  std::map<TaskId, Progress> tasks_;
  std::vector<Ticks> tick_changes_;  // ascending
  std::vector<uint64_t> access_changes_;
  size_t next_tick_change_ = 0, next_access_change_ = 0;
  Ticks ticks_ = 0;
  uint64_t accesses_ = 0;
  int64_t lowest_ = 0;
  TaskId running_ = 0;
};

}  // namespace heddle
