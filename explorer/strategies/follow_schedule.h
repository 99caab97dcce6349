// Executes a Schedule.
#pragma once

#include <cstddef>
#include <utility>

#include "explorer/strategies/strategy.h"
#include "trace_format/schedule.h"

namespace heddle {

// Whoever runs the program asks next_step() and stops its task exactly there; a decision at that
// Place takes the step. Where no step applies the current task goes on, or, if it cannot, the one
// that has been runnable longest. A step whose Place was passed is skipped, and diverged() from
// then on.
class FollowSchedule final : public Strategy {
 public:
  explicit FollowSchedule(Schedule schedule) : schedule_(std::move(schedule)) {}

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "schedule"; }
  std::string describe() const override;

  // Null after the last one. The step's signal is the caller's to deliver, before it decides.
  const ScheduleStep* next_step() const {
    return next_ < schedule_.steps.size() ? &schedule_.steps[next_] : nullptr;
  }
  bool diverged() const { return diverged_; }

 private:
  Schedule schedule_;
  size_t next_ = 0;
  bool diverged_ = false;
};

}  // namespace heddle
