#include "explorer/strategies/race_directed.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace heddle {
namespace {

std::vector<Touch> touches(const Situation& situation) {
  if (situation.touches.empty()) return {{situation.address, situation.size, situation.writes}};
  return {situation.touches.begin(), situation.touches.end()};
}

}  // namespace

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

  watch_.begin();
  state_ = State::seeking;
  achieved_ = false;
  reached_ = holds_ = deferrals_ = decisions_ = jumps_ = seeking_jumps_ = spent_ = 0;
  held_ = performer_ = 0;
  put_off_.clear();
}

Decision RaceDirected::decide(const Situation& situation) {
  spins_ = watch_.spins(situation);
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
  if (took_too_long(situation) && !put_off_.empty()) {
    // Somebody spins and waits for one of them.
    put_off_.clear();
    deferrals_ = kMostDeferrals;
  }
  if (situation.why != DecisionPoint::access || !situation.current_runnable)
    return another(situation, spins_ ? situation.at.task : 0);
  const bool crowd = situation.runnable.size() > 1;
  if (situation.at.pc == held_pc_ && situation.at.phase == held_phase_) {
    if (++reached_ >= occurrence_ && crowd) return begin_hold(situation);
  } else if (situation.at.pc == other_pc_ && situation.at.phase == 0 && crowd &&
             deferrals_ < kMostDeferrals) {
    // The other side would be over before the held one is reached.
    ++deferrals_;
    put_off_.push_back({situation.at.task, touches(situation)});
    return another(situation, situation.at.task);
  }
  if (spins_) return another(situation, situation.at.task);
  return {situation.at.task, random_.geometric(kMeanTurn)};
}

bool RaceDirected::took_too_long(const Situation& situation) {
  if (situation.why == DecisionPoint::budget) ++spent_;
  return ++decisions_ > kLongestHold || spent_ > kMostSpent;
}

Decision RaceDirected::begin_hold(const Situation& situation) {
  state_ = State::holding;
  decisions_ = spent_ = 0;
  held_ = situation.at.task;
  held_touches_ = touches(situation);
  const auto meets = [&](const PutOff& p) { return conflicts(p.touches); };
  const auto waiting = std::ranges::find_if(put_off_, meets);
  if (waiting == put_off_.end()) {
    put_off_.clear();
    return another(situation, held_);
  }
  performer_ = waiting->task;
  performer_pc_ = other_pc_;
  put_off_.clear();
  state_ = State::performing;
  return {performer_, 1};
}

bool RaceDirected::conflicts(const std::vector<Touch>& touches) const {
  return std::ranges::any_of(touches, [&](const Touch& a) {
    return std::ranges::any_of(held_touches_, [&](const Touch& b) {
      return (a.writes || b.writes) && a.address < b.address + b.size &&
             b.address < a.address + a.size;
    });
  });
}

Decision RaceDirected::hold(const Situation& situation) {
  if (took_too_long(situation)) return give_up(situation);
  const bool arrives = situation.why == DecisionPoint::access && situation.current_runnable &&
                       situation.at.task != held_;
  if (arrives && conflicts(touches(situation))) {
    state_ = State::performing;
    performer_ = situation.at.task;
    performer_pc_ = situation.at.pc;
    return {performer_, 1};
  }
  const bool alone = std::ranges::all_of(ready(situation), [&](TaskId t) { return t == held_; });
  if (alone && (situation.ready == situation.runnable.size() || ++jumps_ > kMostJumps))
    return give_up(situation);
  if (arrives && !spins_) return {situation.at.task, random_.geometric(kMeanTurn)};
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
  return {held_, runs_on_ ? kLongTurn : random_.geometric(kMeanTurn)};
}

Decision RaceDirected::give_up(const Situation& situation) {
  ++holds_;
  // A hold that took too long would do so again: somebody spins and waits for the held task.
  const bool hopeless = holds_ >= kMostHolds || decisions_ > kLongestHold || spent_ > kMostSpent;
  const TaskId next = is_runnable(situation, held_) ? held_ : situation.runnable.front();
  state_ = hopeless ? State::released : State::seeking;
  held_ = 0;
  decisions_ = spent_ = 0;
  return {next, random_.geometric(kMeanTurn)};
}

Decision RaceDirected::another(const Situation& situation, TaskId than) {
  std::vector<TaskId> others;
  for (const TaskId task : ready(situation))
    if (task != than && std::ranges::find(put_off_, task, &PutOff::task) == put_off_.end())
      others.push_back(task);
  if (!others.empty())
    return {random_.pick(std::span<const TaskId>(others)), random_.geometric(kMeanTurn)};

  // Nobody, unless time passes or somebody put off goes on. Where both sides are one place those
  // who are put off are also those who could be held.
  const bool sleepers = situation.runnable.size() > situation.ready;
  const bool waits = sleepers && held_pc_ != other_pc_ && seeking_jumps_ < kMostSeekingJumps;
  if (!put_off_.empty() && !waits) {
    const TaskId first = put_off_.front().task;
    put_off_.erase(put_off_.begin());
    return {first, random_.geometric(kMeanTurn)};
  }
  if (!put_off_.empty()) ++seeking_jumps_;
  return {situation.runnable[sleepers ? situation.ready : 0], random_.geometric(kMeanTurn)};
}

Decision RaceDirected::go_on(const Situation& situation) {
  const bool stay = situation.current_runnable && !spins_ &&
                    (situation.why == DecisionPoint::access ||
                     (runs_on_ && situation.why != DecisionPoint::budget));
  const TaskId next = stay ? situation.at.task : random_.pick(ready(situation));
  return {next, runs_on_ ? kLongTurn : random_.geometric(kMeanTurn)};
}

bool RaceDirected::is_runnable(const Situation& situation, TaskId task) const {
  return std::ranges::find(situation.runnable, task) != situation.runnable.end();
}

// The task that was let past the held one may have met it at another place of its own.
std::optional<Meeting> RaceDirected::met() const {
  if (!achieved_ || performer_pc_ != other_pc_) return std::nullopt;
  return Meeting{target_, run_ / targets_.size() % 2 == 0};
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
