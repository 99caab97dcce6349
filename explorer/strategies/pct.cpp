#include "explorer/strategies/pct.h"

#include <algorithm>

namespace heddle {

void Pct::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  watch_.begin();
  tasks_.clear();
  tick_changes_.clear();
  access_changes_.clear();
  next_tick_change_ = next_access_change_ = 0;
  ticks_ = accesses_ = 0;
  lowest_ = 0;
  running_ = 0;
  for (uint32_t i = 1; i < options_.depth; ++i) {
    if (options_.accesses > 0 && random_.one_in(2))
      access_changes_.push_back(1 + random_.below(options_.accesses));
    else
      tick_changes_.push_back(1 + random_.below(std::max<Ticks>(options_.ticks, 1)));
  }
  std::ranges::sort(tick_changes_);
  std::ranges::sort(access_changes_);
}

Pct::Progress& Pct::progress(TaskId task) {
  const auto [found, is_new] = tasks_.try_emplace(task);
  // Positive and hardly ever equal; what falls gets ever lower negative ones.
  if (is_new) found->second.priority = static_cast<int64_t>(1 + (random_.next() >> 2));
  return found->second;
}

void Pct::count(const Situation& situation) {
  Progress& current = progress(situation.at.task);
  const Ticks passed = std::max(situation.at.ticks, current.ticks) - current.ticks;
  current.ticks = std::max(situation.at.ticks, current.ticks);
  current.turn += passed;
  ticks_ += passed;
  if (situation.why == DecisionPoint::access) ++accesses_;

  bool changes = false;
  while (next_tick_change_ < tick_changes_.size() && tick_changes_[next_tick_change_] <= ticks_) {
    ++next_tick_change_;
    changes = true;
  }
  while (next_access_change_ < access_changes_.size() &&
         access_changes_[next_access_change_] <= accesses_) {
    ++next_access_change_;
    changes = true;
  }
  if (changes) lower(current);
}

bool Pct::spins(const Situation& situation) {
  Progress& current = progress(situation.at.task);
  const bool repeats = watch_.spins(situation);
  if (situation.ready < 2 || situation.why == DecisionPoint::blocked) {
    current.spent = 0;
    current.turn = 0;
    return false;
  }
  if (situation.why == DecisionPoint::budget) ++current.spent;
  return repeats || current.spent >= options_.most_spent || current.turn >= options_.longest_turn;
}

Decision Pct::decide(const Situation& situation) {
  // In the order of becoming runnable, so that priorities do not depend on when each is first
  // chosen.
  for (const TaskId task : ready(situation)) progress(task);
  if (running_ == 0) progress(situation.at.task).ticks = situation.at.ticks;
  count(situation);
  if (spins(situation)) {
    Progress& current = progress(situation.at.task);
    lower(current);
    current.spent = 0;
    current.turn = 0;
  }
  const TaskId next = *std::ranges::max_element(
      ready(situation), {}, [&](TaskId task) { return progress(task).priority; });
  Progress& chosen = progress(next);
  if (next != running_) {
    chosen.turn = 0;
    chosen.spent = 0;
    running_ = next;
  }
  Ticks budget = Decision{}.ticks;
  if (next_tick_change_ < tick_changes_.size()) budget = tick_changes_[next_tick_change_] - ticks_;
  // Whoever spins alone waits for a sleeper, for whom no time would pass otherwise.
  budget =
      std::min(budget, options_.longest_turn - std::min(chosen.turn, options_.longest_turn - 1));
  return {next, budget};
}

std::string Pct::describe() const {
  return "pct depth " + std::to_string(options_.depth) + " seed " + std::to_string(seed_) +
         " run " + std::to_string(run_);
}

}  // namespace heddle
