// The fewest switches with which a run still fails.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "trace_format/schedule.h"

namespace heddle {

struct MinimiserOptions {
  uint64_t most_trials = 1000;
  // Schedules simpler than most, tried first: if one fails, reduction goes on from it.
  std::vector<Schedule> simple;
  // Places of step.at.task before step.at that a switch may be moved to, the earliest first; empty:
  // steps are not moved.
  std::function<std::vector<Place>(const ScheduleStep&)> earlier_places;
};

struct Minimised {
  Schedule schedule;
  uint64_t trials = 0;    // runs made
  bool complete = false;  // no single step can be left out; false: the trials ran out first
  // The steps that decide, by index in schedule: the last one that takes a task away from where it
  // could have gone on, and the one that gives it back (absent if it never is).
  std::optional<size_t> preempts, resumes;
};

// Reduces `schedule`, which fails, by delta debugging (A. Zeller, R. Hildebrandt, "Simplifying and
// Isolating Failure-Inducing Input", TSE 28(2), 2002: ddmin), before and after which one step may
// go straight to the task of a later one; then takes out single steps, signals and faults and moves
// what is left to earlier places until nothing changes. `fails` runs a schedule and tells whether
// it fails in the same way; it is not asked twice about the same schedule. Exceptions of it pass
// through.
Minimised minimise(const Schedule& schedule, const std::function<bool(const Schedule&)>& fails,
                   const MinimiserOptions& options = {});

}  // namespace heddle
