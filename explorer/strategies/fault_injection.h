// Lets system calls end as they may, and did not in the recording.
//
// P. Marinescu, G. Candea, "LFI: A Practical and General Library-Level Fault Injector", DSN 2009:
// each error of each call from each place that makes it.
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "explorer/strategies/random_source.h"
#include "explorer/strategies/spin_watch.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// A run injects one fault. Which there are is learnt from the rounds before: the first run injects
// none and the others of its round take what they meet at random. Then run k takes target k mod n,
// at its first execution when the targets come round first, then at the last one that was seen,
// then at random ones. No task is preempted when the targets come round first; later they run at
// random.
//
// A program that fails under a fault may still be right in a world where that fault cannot happen
// (a read of a local file is never short, say). So this strategy is no part of the portfolio, and
// what it finds says which fault was injected.
class FaultInjection final : public Strategy {
 public:
  static constexpr uint64_t kRound = 32;
  static constexpr Ticks kTurn = 100'000;
  static constexpr size_t kMostTold = 400;  // targets in a lesson

  explicit FaultInjection(uint64_t seed) : seed_(seed) {}

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "fault-injection"; }
  std::string describe() const override;
  uint64_t round() const override { return kRound; }
  std::string lesson() const override;
  void learn(const std::vector<std::string>& lessons) override;
  std::string finished() const override;
  bool injects_faults() const override { return true; }

 private:
  // A kind of fault of a system call made by one instruction; `rank` among those of its kind, whose
  // arguments differ from one execution to the next.
  struct Target {
    uint64_t pc = 0, call = 0;
    FaultKind kind = FaultKind::none;
    uint64_t rank = 0;
    auto operator<=>(const Target&) const = default;
  };
  // Of the targets that the call of a situation has.
  template <typename Visit>
  static void for_each_target(const Situation& situation, Visit visit);
  bool injects(const Target& target);

  uint64_t seed_;
  std::vector<Target> targets_;        // in the order in which they were met
  std::map<Target, uint64_t> counts_;  // executions: the most of any run
  uint64_t learnt_ = 0;                // runs before this round

  uint64_t run_ = 0;
  RandomSource random_;
  SpinWatch watch_;
  std::map<Target, uint64_t> met_;
  std::vector<Target> met_first_;  // in their order
  bool wanted_ = false;            // a fault is to be injected and has not been
  bool known_ = false;             // it is target_, at this execution of it
  Target target_;
  uint64_t occurrence_ = 1;
  bool shuffled_ = false;
};

}  // namespace heddle
