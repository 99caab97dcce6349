#include "explorer/strategies/delays.h"

#include <algorithm>
#include <functional>

namespace heddle {

Delays::Delays(uint64_t seed, const std::vector<Target>& targets, const Pct::Options& estimate,
               First first)
    : seed_(seed), estimate_(estimate), first_(first) {
  const auto add = [this](const Site& site) {
    if (std::ranges::find(sites_, site) == sites_.end()) sites_.push_back(site);
  };
  for (const Target& target : targets) {
    add({target.first_pc, target.first_count, target.first_updates});
    add({target.second_pc, target.second_count, target.second_updates});
  }
}

void Delays::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  at_ticks_.clear();
  at_accesses_.clear();
  at_sites_.clear();
  owed_ = 0;
  ticks_ = accesses_ = 0;
  seen_.clear();
  watch_.begin();
  running_ = 0;
  turn_ = 0;
  for (uint64_t i = 0; i <= run % kMostDelays; ++i) {
    const uint64_t kind = i == 0 && first_ == First::at_a_side ? 0 : random_.below(3);
    if (kind == 0 && !sites_.empty()) {
      const Site& site = random_.pick(std::span<const Site>(sites_));
      const uint8_t phase = site.updates && !random_.one_in(4) ? 1 : 0;
      at_sites_.push_back({site.pc, phase, 1 + random_.below(std::max(site.count, 1u))});
    } else if (kind == 1 && estimate_.accesses > 0) {
      at_accesses_.push_back(1 + random_.below(estimate_.accesses));
    } else {
      at_ticks_.push_back(1 + random_.below(std::max<Ticks>(estimate_.ticks, 1)));
    }
  }
  std::ranges::sort(at_ticks_, std::greater());
  std::ranges::sort(at_accesses_, std::greater());
}

// What has happened: which delays are due?
void Delays::count(const Situation& situation) {
  Ticks& seen = seen_.try_emplace(situation.at.task, situation.at.ticks).first->second;
  const Ticks passed = std::max(situation.at.ticks, seen) - seen;
  ticks_ += passed;
  turn_ += passed;
  seen += passed;
  for (; !at_ticks_.empty() && at_ticks_.back() <= ticks_; at_ticks_.pop_back()) ++owed_;
  if (situation.why != DecisionPoint::access) return;
  ++accesses_;
  for (; !at_accesses_.empty() && at_accesses_.back() <= accesses_; at_accesses_.pop_back())
    ++owed_;
  for (SiteDelay& delay : at_sites_)
    if (delay.pc == situation.at.pc && delay.phase == situation.at.phase && delay.executions > 0 &&
        --delay.executions == 0)
      ++owed_;
}

bool Delays::spins(const Situation& situation) {
  const bool repeats = watch_.spins(situation);
  return repeats || turn_ >= estimate_.longest_turn;
}

Decision Delays::decide(const Situation& situation) {
  count(situation);
  Decision decision{situation.standard};
  const bool spun = spins(situation), delayed = owed_ > 0;
  if ((spun || delayed) && situation.current_runnable && situation.ready > 1) {
    std::vector<TaskId> others;
    for (const TaskId task : ready(situation))
      if (task != situation.at.task) others.push_back(task);
    decision.next = random_.pick(std::span<const TaskId>(others));
    decision.holds = delayed;
    if (delayed) --owed_;
  }
  if (decision.next != running_ || situation.ready < 2) turn_ = 0;
  running_ = decision.next;
  decision.ticks = estimate_.longest_turn - turn_;
  if (!at_ticks_.empty()) decision.ticks = std::min(decision.ticks, at_ticks_.back() - ticks_);
  return decision;
}

std::string Delays::describe() const {
  return "delays " + std::to_string(1 + run_ % kMostDelays) + " seed " + std::to_string(seed_) +
         " run " + std::to_string(run_);
}

}  // namespace heddle
