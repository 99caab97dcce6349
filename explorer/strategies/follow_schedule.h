// Executes a Schedule as far as it fits.
#pragma once

#include <cstddef>
#include <map>
#include <utility>

#include "explorer/strategies/strategy.h"
#include "trace_format/schedule.h"

namespace heddle {

// Of a schedule with steps left out, what comes later happens elsewhere: a task waits once more, or
// goes round a loop less. A step is taken at its Place, or where its task does the same a little
// later, or, where it does not, a little later still. It is left out where the task that it
// names cannot run, and where the run has come to the place of one after it. Where no step is
// taken, it is the turn of Situation::standard.
class FollowSchedule final : public Strategy {
 public:
  static constexpr Ticks kLittle = 256;
  static constexpr size_t kAhead = 8;  // steps that are looked at

  explicit FollowSchedule(Schedule schedule) : schedule_(std::move(schedule)) {}

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "schedule"; }
  std::string describe() const override;

  // Null after the last one. Whoever runs the program may stop its task exactly there.
  const ScheduleStep* next_step() const {
    return next_ < schedule_.steps.size() ? &schedule_.steps[next_] : nullptr;
  }
  // Was a step taken elsewhere, or left out?
  bool diverged() const { return diverged_; }

 private:
  bool fits(const ScheduleStep& step, const Situation& situation) const;
  // Where the step's task is expected to be so far on.
  Ticks expected(const ScheduleStep& step) const;

  Schedule schedule_;
  size_t next_ = 0;
  bool diverged_ = false;
  std::map<TaskId, Ticks> ticks_;    // of each, when it was last seen
  std::map<TaskId, int64_t> later_;  // ticks by which tasks came later to what they did
};

}  // namespace heddle
