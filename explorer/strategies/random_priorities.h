// The random priorities of tasks' next events, as Pos draws them (see there for the paper).
#pragma once

#include <map>

#include "explorer/strategies/pending_accesses.h"
#include "explorer/strategies/random_source.h"
#include "explorer/strategies/spin_watch.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// A task's next event gets its priority when the task first could run, a new one when the event
// before it is done and where it conflicts with that. Draws are made in the order of becoming
// runnable, so that nothing depends on when each is first chosen. A task that spins has the lowest.
class RandomPriorities {
 public:
  void begin() {
    watch_.begin();
    priorities_.clear();
  }

  // At each decision; `performed`: the access that was made since the last one.
  void note(const Situation& situation, const PendingAccess& performed, PendingAccesses& pending,
            RandomSource& random) {
    const TaskId last = situation.at.task;
    for (const TaskId task : ready(situation)) draw(task, random);
    if (situation.why != DecisionPoint::budget) priorities_.erase(last);
    for (const TaskId task : ready(situation))
      if (task == last || performed.conflicts(pending.of(task))) {
        priorities_.erase(task);
        draw(task, random);
      }
    const bool spins = watch_.spins(situation) || situation.why == DecisionPoint::budget;
    if (spins && situation.ready > 1) draw(last, random) = 0;
  }

  // Of a task that can run.
  uint64_t of(TaskId task) const { return priorities_.at(task); }

 private:
  uint64_t& draw(TaskId task, RandomSource& random) {
    const auto [found, is_new] = priorities_.try_emplace(task);
    if (is_new) found->second = random.next() >> 1;
    return found->second;
  }

  SpinWatch watch_;
  std::map<TaskId, uint64_t> priorities_;
};

}  // namespace heddle
