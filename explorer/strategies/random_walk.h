// At every decision any runnable task, each as likely.
//
// The baseline of P. Thomson, A. Donaldson, A. Betts, "Concurrency Testing Using Schedule Bounding:
// an Empirical Study", PPoPP 2014, where it did as well as much cleverer strategies.
#pragma once

#include "explorer/strategies/random_source.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// Budgets are geometric. Their mean is drawn anew for each run between the bounds, on a logarithmic
// scale: which distance between switches a bug needs is not known.
class RandomWalk final : public Strategy {
 public:
  static constexpr Ticks kShortestMean = 16;
  static constexpr Ticks kLongestMean = 1 << 16;

  explicit RandomWalk(uint64_t seed) : seed_(seed) {}

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "random"; }
  std::string describe() const override;

 private:
  uint64_t seed_;
  uint64_t run_ = 0;
  Ticks mean_ = kShortestMean;
  RandomSource random_;
};

}  // namespace heddle
