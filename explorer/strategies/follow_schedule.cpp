#include "explorer/strategies/follow_schedule.h"

#include <algorithm>

namespace heddle {
namespace {

bool arrived(const Situation& situation, const Place& place) {
  if (situation.at == place) return true;
  // Inside a system call: it waits there, or the task ended in it.
  return place.phase == 2 && situation.why == DecisionPoint::blocked &&
         situation.at.task == place.task && situation.at.ticks == place.ticks &&
         situation.at.pc == place.pc;
}

}  // namespace

void FollowSchedule::begin(uint64_t) {
  next_ = 0;
  diverged_ = false;
}

Decision FollowSchedule::decide(const Situation& situation) {
  const auto is_runnable = [&](TaskId task) {
    return std::ranges::find(situation.runnable, task) != situation.runnable.end();
  };
  while (const ScheduleStep* step = next_step()) {
    if (arrived(situation, step->at)) {
      ++next_;
      if (is_runnable(step->next)) {
        Decision decision{.next = step->next, .fault = step->fault};
        return decision;
      }
      diverged_ = true;
      break;
    }
    if (step->at.task != situation.at.task || step->at.ticks >= situation.at.ticks) break;
    diverged_ = true;
    ++next_;
  }
  Decision decision{.next = situation.current_runnable ? situation.at.task
                                                       : situation.runnable.front()};
  const ScheduleStep* step = next_step();
  if (step && step->at.task == decision.next && decision.next == situation.at.task)
    decision.ticks = std::max<Ticks>(step->at.ticks - situation.at.ticks, 1);
  return decision;
}

std::string FollowSchedule::describe() const {
  return "schedule " + schedule_.text();
}

}  // namespace heddle
