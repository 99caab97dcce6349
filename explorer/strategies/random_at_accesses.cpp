#include "explorer/strategies/random_at_accesses.h"

#include <algorithm>

namespace heddle {

void RandomAtAccesses::begin(uint64_t run) {
  random_.seed(seed_ * 0x9e3779b97f4a7c15 + run);
  switch_percent_ = 5 + draw(60);
  held_ = 0;
  patience_ = 0;
}

// Not std::uniform_int_distribution, whose results differ between libraries.
uint64_t RandomAtAccesses::draw(uint64_t below) {
  return random_() % below;
}

Decision RandomAtAccesses::decide(const Situation& situation) {
  const auto& runnable = situation.runnable;
  const auto ready = runnable.first(situation.ready);
  Decision decision;
  if (situation.why == DecisionPoint::access && situation.at.task != held_ &&
      draw(100) < switch_percent_) {
    held_ = situation.at.task;
    patience_ = 1 + draw(100);
  }
  if (held_ != 0 && patience_ > 0) {
    --patience_;
    // Somebody else, and if all others wait, somebody whom the passing of time lets run.
    std::vector<TaskId> others;
    for (const TaskId task : ready)
      if (task != held_) others.push_back(task);
    if (others.empty() && runnable.size() > situation.ready)
      others.push_back(runnable[situation.ready]);
    const bool current_other = situation.current_runnable && situation.at.task != held_;
    if (current_other || !others.empty()) {
      decision.next = current_other ? situation.at.task : others[draw(others.size())];
      return decision;
    }
  }
  held_ = 0;
  if (situation.current_runnable)
    decision.next = situation.at.task;
  else
    decision.next = ready.empty() ? runnable.front() : ready[draw(ready.size())];
  return decision;
}

}  // namespace heddle
