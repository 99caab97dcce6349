#include "explorer/strategies/random_at_accesses.h"

#include <algorithm>

namespace heddle {

void RandomAtAccesses::begin(uint64_t run) {
  random_.seed(seed_ * 0x9e3779b97f4a7c15 + run);
  switch_percent_ = 5 + draw(60);
  current_ = 1;
}

// Not std::uniform_int_distribution, whose results differ between libraries.
uint64_t RandomAtAccesses::draw(uint64_t below) {
  return random_() % below;
}

Decision RandomAtAccesses::decide(const Situation& situation) {
  Decision decision;
  const auto& runnable = situation.runnable;
  current_ = situation.at.task;
  const bool move = !situation.current_runnable ||
                    (situation.why == DecisionPoint::access && draw(100) < switch_percent_);
  decision.next = move ? runnable[draw(runnable.size())] : current_;
  return decision;
}

}  // namespace heddle
