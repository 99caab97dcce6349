#include "explorer/strategies/pos.h"

#include <algorithm>

namespace heddle {

void Pos::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  watch_.begin();
  pending_.begin();
  priorities_.clear();
}

uint64_t& Pos::priority(TaskId task) {
  const auto [found, is_new] = priorities_.try_emplace(task);
  if (is_new) found->second = random_.next() >> 1;
  return found->second;
}

Decision Pos::decide(const Situation& situation) {
  pending_.note(situation);
  const TaskId last = situation.at.task;
  // In the order of becoming runnable, so that nothing depends on when each is first chosen.
  for (const TaskId task : ready(situation)) priority(task);
  if (situation.why != DecisionPoint::budget) priorities_.erase(last);
  const PendingAccess performed = pending_.performed();
  for (const TaskId task : ready(situation))
    if (task == last || performed.conflicts(pending_.of(task))) {
      priorities_.erase(task);
      priority(task);
    }
  const bool spins = watch_.spins(situation) || situation.why == DecisionPoint::budget;
  if (spins && situation.ready > 1) priority(last) = 0;
  const TaskId next =
      *std::ranges::max_element(ready(situation), {}, [&](TaskId task) { return priority(task); });
  pending_.chose(next);
  return {next, longest_turn_};
}

std::string Pos::describe() const {
  return "pos seed " + std::to_string(seed_) + " run " + std::to_string(run_);
}

}  // namespace heddle
