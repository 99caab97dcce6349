#include "explorer/strategies/random_walk.h"

#include <bit>

namespace heddle {

void RandomWalk::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  constexpr int kScales = std::countr_zero(kLongestMean / kShortestMean) + 1;
  mean_ = kShortestMean << random_.below(kScales);
}

Decision RandomWalk::decide(const Situation& situation) {
  const TaskId next = random_.pick(ready(situation));
  return {next, random_.geometric(mean_)};
}

std::string RandomWalk::describe() const {
  return "random mean " + std::to_string(mean_) + " ticks seed " + std::to_string(seed_) + " run " +
         std::to_string(run_);
}

}  // namespace heddle
