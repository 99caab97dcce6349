#include "explorer/strategies/signal_placement.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

namespace heddle {

SignalPlacement::SignalPlacement(uint64_t seed, std::vector<SignalTarget> targets)
    : seed_(seed), targets_(std::move(targets)) {
  if (targets_.empty()) throw std::invalid_argument("signal placement needs a target");
}

void SignalPlacement::begin(uint64_t run) {
  run_ = run;
  random_ = RandomSource(seed_, run);
  target_ = targets_[run % targets_.size()];
  const uint64_t turn = run / targets_.size();
  const uint64_t known = target_.count > 0 ? target_.count : 16;
  occurrence_ = turn == 0 ? 1 : turn == 1 ? known : 1 + random_.below(known);
  takers_ = static_cast<uint32_t>(turn);
  watch_.begin();
  state_ = State::seeking;
  reached_ = 0;
  decisions_ = 0;
  held_ = 0;
  sent_ = false;
}

bool SignalPlacement::comes(const Situation& situation) const {
  return std::ranges::find(situation.signals, target_.signal) != situation.signals.end();
}

Decision SignalPlacement::decide(const Situation& situation) {
  spins_ = watch_.spins(situation);
  switch (state_) {
    case State::seeking:
      return seek(situation);
    case State::holding:
      return hold(situation);
    case State::released:
      break;
  }
  return go_on(situation);
}

Decision SignalPlacement::seek(const Situation& situation) {
  if (situation.why != DecisionPoint::access || !situation.current_runnable ||
      situation.at.pc != target_.pc || situation.at.phase != 0)
    return go_on(situation);
  // A place that is reached when the signal is not to come any more is as good as none.
  if (++reached_ < occurrence_) return go_on(situation);
  const TaskId task = situation.at.task;
  if (target_.same_thread && comes(situation)) {
    state_ = State::released;
    return {task, kTurn, target_.signal};
  }
  held_ = task;
  state_ = State::holding;
  return hold(situation);
}

Decision SignalPlacement::hold(const Situation& situation) {
  if (++decisions_ > kLongestHold) return release(situation);
  if (target_.same_thread) {
    if (std::ranges::find(situation.interrupted, held_) != situation.interrupted.end())
      return release(situation);
  } else {
    if (situation.why == DecisionPoint::access && situation.at.task != held_ &&
        situation.at.pc == target_.handler_pc && situation.current_runnable) {
      // The handler's access is made next; its store, of an update, in the decision after.
      if (sent_) return {situation.at.task, 1};
      sent_ = true;
      return {situation.at.task, 1};
    }
    if (sent_) return release(situation);
    if (situation.at.task != held_ && situation.current_runnable && comes(situation) &&
        decisions_ > takers_ % 4)
      return {situation.at.task, kTurn, target_.signal};
  }
  const TaskId next = another(situation);
  if (next == 0) return release(situation);
  return {next, kTurn};
}

TaskId SignalPlacement::another(const Situation& situation) {
  std::vector<TaskId> others;
  for (const TaskId task : ready(situation))
    if (task != held_) others.push_back(task);
  if (others.empty()) {
    // Somebody may be asleep who sends it.
    for (const TaskId task : situation.runnable)
      if (task != held_) return task;
    return 0;
  }
  const bool stays = situation.current_runnable && situation.at.task != held_ && !spins_ &&
                     situation.why == DecisionPoint::access;
  return stays ? situation.at.task : random_.pick(std::span<const TaskId>(others));
}

Decision SignalPlacement::release(const Situation& situation) {
  state_ = State::released;
  const bool can = std::ranges::find(situation.runnable, held_) != situation.runnable.end();
  return can ? Decision{held_, kTurn} : go_on(situation);
}

Decision SignalPlacement::go_on(const Situation& situation) {
  const bool stays =
      situation.current_runnable && situation.why != DecisionPoint::budget && !spins_;
  return {stays ? situation.at.task : random_.pick(ready(situation)), kTurn};
}

std::string SignalPlacement::describe() const {
  char place[96];
  std::snprintf(place, sizeof place, "signal %d at %llx, execution %llu", target_.signal,
                static_cast<unsigned long long>(target_.pc),
                static_cast<unsigned long long>(occurrence_));
  return "signal-placement " + std::string(place) + " seed " + std::to_string(seed_) + " run " +
         std::to_string(run_);
}

}  // namespace heddle
