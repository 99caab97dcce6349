#include "explorer/strategies/pos.h"

#include <algorithm>

namespace heddle {

void Pos::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  pending_.begin();
  priorities_.begin();
}

Decision Pos::decide(const Situation& situation) {
  pending_.note(situation);
  priorities_.note(situation, pending_.performed(), pending_, random_);
  const TaskId next = *std::ranges::max_element(ready(situation), {},
                                                [&](TaskId task) { return priorities_.of(task); });
  pending_.chose(next);
  return {next, longest_turn_};
}

std::string Pos::describe() const {
  return "pos seed " + std::to_string(seed_) + " run " + std::to_string(run_);
}

}  // namespace heddle
