#include "explorer/strategies/follow_schedule.h"

#include <algorithm>

namespace heddle {
namespace {

// What the task is doing, whenever it does so.
bool same_act(const Situation& situation, const Place& place) {
  const bool waits = place.phase == 2;
  return situation.at.task == place.task && situation.at.pc == place.pc &&
         (waits ? situation.why == DecisionPoint::blocked : situation.at.phase == place.phase);
}

bool arrived(const Situation& situation, const Place& place) {
  return same_act(situation, place) && situation.at.ticks == place.ticks;
}

}  // namespace

void FollowSchedule::begin(uint64_t) {
  next_ = 0;
  diverged_ = false;
  ticks_.clear();
  later_.clear();
}

Ticks FollowSchedule::expected(const ScheduleStep& step) const {
  const auto found = later_.find(step.at.task);
  const int64_t later = found == later_.end() ? 0 : found->second;
  return static_cast<Ticks>(std::max<int64_t>(static_cast<int64_t>(step.at.ticks) + later, 0));
}

bool FollowSchedule::fits(const ScheduleStep& step, const Situation& situation) const {
  if (arrived(situation, step.at)) return true;
  if (situation.at.task != step.at.task) return false;
  const Ticks now = situation.at.ticks, there = expected(step);
  if (now < there) return false;
  if (same_act(situation, step.at) && situation.why != DecisionPoint::budget)
    return now <= there + kLittle;
  return step.at.phase == 2 ? situation.why == DecisionPoint::blocked : now >= there + kLittle;
}

Decision FollowSchedule::decide(const Situation& situation) {
  const auto is_runnable = [&](TaskId task) {
    return std::ranges::find(situation.runnable, task) != situation.runnable.end();
  };
  ticks_[situation.at.task] = situation.at.ticks;
  Decision decision{.next = situation.standard};
  const size_t end = std::min(next_ + kAhead, schedule_.steps.size());
  for (size_t i = next_; i < end; ++i) {
    const ScheduleStep& step = schedule_.steps[i];
    if (i == next_ ? !fits(step, situation) : !arrived(situation, step.at)) continue;
    diverged_ |= i != next_ || !arrived(situation, step.at) || !is_runnable(step.next);
    next_ = i + 1;
    if (same_act(situation, step.at))
      later_[step.at.task] =
          static_cast<int64_t>(situation.at.ticks) - static_cast<int64_t>(step.at.ticks);
    if (!is_runnable(step.next)) break;
    decision.next = step.next;
    decision.holds = step.holds;
    if (std::ranges::find(situation.signals, step.signal) != situation.signals.end())
      decision.signal = step.signal;
    if (std::ranges::find(situation.faults, step.fault) != situation.faults.end())
      decision.fault = step.fault;
    break;
  }
  const ScheduleStep* step = next_step();
  if (step && step->at.task == decision.next) {
    const Ticks now = ticks_[decision.next], there = expected(*step);
    decision.ticks = now < there ? there - now : kLittle;
  }
  return decision;
}

std::string FollowSchedule::describe() const {
  return "schedule " + schedule_.text();
}

}  // namespace heddle
