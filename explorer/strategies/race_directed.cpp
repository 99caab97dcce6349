#include "explorer/strategies/race_directed.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace heddle {

RaceDirected::RaceDirected(uint64_t seed, std::vector<Target> targets)
    : seed_(seed), targets_(std::move(targets)) {
  if (targets_.empty()) throw std::invalid_argument("race-directed exploration needs a target");
}

void RaceDirected::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  target_ = run % targets_.size();
  const uint64_t turn = run / targets_.size();
  const Target& target = targets_[target_];
  const bool second = turn % 2 == 1;
  const uint64_t round = turn / 2;
  held_pc_ = second ? target.second_pc : target.first_pc;
  other_pc_ = second ? target.first_pc : target.second_pc;
  const bool held_updates = second ? target.second_updates : target.first_updates;
  other_updates_ = second ? target.first_updates : target.second_updates;
  held_phase_ = held_updates && round % 4 != 3 ? 1 : 0;
  const uint64_t known = second ? target.second_count : target.first_count;
  occurrence_ = round == 0 ? 1 : 1 + random_.below(known > 0 ? known : 16);
  runs_on_ = round % 2 == 0;

  state_ = State::seeking;
  achieved_ = false;
  reached_ = holds_ = deferrals_ = decisions_ = jumps_ = 0;
  held_ = performer_ = 0;
}

Decision RaceDirected::decide(const Situation& situation) {
  switch (state_) {
    case State::seeking:
      return seek(situation);
    case State::holding:
      return hold(situation);
    case State::performing:
      return perform(situation);
    case State::released:
      break;
  }
  return go_on(situation);
}

Decision RaceDirected::seek(const Situation& situation) {
  if (situation.why != DecisionPoint::access) {
    return {random_.pick(ready(situation)), random_.geometric(kMeanTurn)};
  }
  const bool crowd = situation.runnable.size() > 1;
  if (situation.at.pc == held_pc_ && situation.at.phase == held_phase_) {
    if (++reached_ >= occurrence_ && crowd && situation.current_runnable) {
      state_ = State::holding;
      decisions_ = 0;
      held_ = situation.at.task;
      held_address_ = situation.address;
      held_size_ = situation.size;
      held_writes_ = situation.writes;
      return another(situation, held_);
    }
  } else if (situation.at.pc == other_pc_ && situation.at.phase == 0 && crowd &&
             deferrals_ < kMostDeferrals) {
    // The other side would be over before the held one is reached: let somebody else go first.
    ++deferrals_;
    return another(situation, situation.at.task);
  }
  if (situation.current_runnable) return {situation.at.task, random_.geometric(kMeanTurn)};
  return another(situation, situation.at.task);
}

bool RaceDirected::conflicts(const Situation& situation) const {
  if (situation.why != DecisionPoint::access || situation.at.task == held_) return false;
  if (!situation.writes && !held_writes_) return false;
  return situation.address < held_address_ + held_size_ &&
         held_address_ < situation.address + situation.size;
}

Decision RaceDirected::hold(const Situation& situation) {
  if (++decisions_ > kLongestHold) return give_up(situation);
  if (conflicts(situation) && situation.current_runnable) {
    state_ = State::performing;
    performer_ = situation.at.task;
    performer_pc_ = situation.at.pc;
    return {performer_, 1};
  }
  const bool alone = std::ranges::all_of(ready(situation), [&](TaskId t) { return t == held_; });
  if (alone && (situation.ready == situation.runnable.size() || ++jumps_ > kMostJumps))
    return give_up(situation);
  if (situation.why == DecisionPoint::access && situation.current_runnable &&
      situation.at.task != held_)
    return {situation.at.task, random_.geometric(kMeanTurn)};
  return another(situation, held_);
}

Decision RaceDirected::perform(const Situation& situation) {
  // An update stops once more between its load and its store; it is over after the store.
  if (situation.why == DecisionPoint::access && situation.at.task == performer_ &&
      situation.at.pc == performer_pc_ && situation.at.phase == 1 && situation.current_runnable)
    return {performer_, 1};
  achieved_ = true;
  return release(situation);
}

Decision RaceDirected::release(const Situation& situation) {
  state_ = State::released;
  if (!is_runnable(situation, held_)) return go_on(situation);
  return {held_, runs_on_ ? Decision{}.ticks : random_.geometric(kMeanTurn)};
}

Decision RaceDirected::give_up(const Situation& situation) {
  ++holds_;
  // A hold that ran out of decisions would do so again: somebody spins and waits for the held task.
  const bool hopeless = holds_ >= kMostHolds || decisions_ > kLongestHold;
  const TaskId next = is_runnable(situation, held_) ? held_ : situation.runnable.front();
  state_ = hopeless ? State::released : State::seeking;
  held_ = 0;
  return {next, random_.geometric(kMeanTurn)};
}

Decision RaceDirected::another(const Situation& situation, TaskId than) {
  const auto others = static_cast<uint64_t>(
      std::ranges::count_if(ready(situation), [&](TaskId task) { return task != than; }));
  if (others == 0) {
    // Nobody, unless time passes.
    const bool sleepers = situation.runnable.size() > situation.ready;
    return {situation.runnable[sleepers ? situation.ready : 0], random_.geometric(kMeanTurn)};
  }
  uint64_t skip = random_.below(others);
  TaskId next = 0;
  for (const TaskId task : ready(situation)) {
    if (task == than) continue;
    next = task;
    if (skip-- == 0) break;
  }
  return {next, random_.geometric(kMeanTurn)};
}

Decision RaceDirected::go_on(const Situation& situation) {
  const bool stay =
      situation.current_runnable && (situation.why == DecisionPoint::access ||
                                     (runs_on_ && situation.why != DecisionPoint::budget));
  const TaskId next = stay ? situation.at.task : random_.pick(ready(situation));
  // A task that spins must not keep the rest waiting, however long the turns are.
  return {next, runs_on_ ? 64 * kMeanTurn : random_.geometric(kMeanTurn)};
}

bool RaceDirected::is_runnable(const Situation& situation, TaskId task) const {
  return std::ranges::find(situation.runnable, task) != situation.runnable.end();
}

std::string RaceDirected::describe() const {
  char pair[128];
  std::snprintf(pair, sizeof pair, "hold %llx%s at execution %llu for %llx",
                static_cast<unsigned long long>(held_pc_), held_phase_ ? " (split)" : "",
                static_cast<unsigned long long>(occurrence_),
                static_cast<unsigned long long>(other_pc_));
  return "race-directed " + std::string(pair) + " seed " + std::to_string(seed_) + " run " +
         std::to_string(run_);
}

}  // namespace heddle
