// Random priorities of events, drawn anew where two of them conflict.
//
// X. Yuan, J. Yang, R. Gu, "Partial Order Aware Concurrency Sampling", CAV 2018: among the partial
// orders of a program's events none is as unlikely as under a random walk.
#pragma once

#include "explorer/strategies/pending_accesses.h"
#include "explorer/strategies/random_priorities.h"
#include "explorer/strategies/random_source.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// Each task's next event has a priority; the highest runs. When an access is made, its task's next
// event gets a priority, and the pending ones that conflict with it get new ones. A task that spins
// waits until every other one has run.
class Pos final : public Strategy {
 public:
  static constexpr Ticks kLongestTurn = 1'000'000;  // then a task is taken to spin

  explicit Pos(uint64_t seed, Ticks longest_turn = kLongestTurn)
      : seed_(seed), longest_turn_(longest_turn) {}

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "pos"; }
  std::string describe() const override;

 private:
  uint64_t seed_;
  Ticks longest_turn_;
  uint64_t run_ = 0;
  RandomSource random_;
  PendingAccesses pending_;
  RandomPriorities priorities_;
};

}  // namespace heddle
