// The fewest switches with which a run still fails.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "trace_format/schedule.h"

namespace heddle {

struct MinimiserOptions {
  bool hold = true;  // tasks back
  uint64_t most_trials = 1000;
  // Schedules simpler than most, tried first: if one fails, reduction goes on from it.
  std::vector<Schedule> simple;
  // Places of its task that a step of a schedule may be moved to, all before its own, the earliest
  // first. Empty: steps are not moved.
  std::function<std::vector<Place>(const Schedule&, size_t step)> earlier_places;
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
// go straight to the task of a later one; holds a task back where many steps do that together; then
// takes out single steps, signals and faults until nothing changes. At last each step is moved to
// the earliest place at which that fails too, by bisection: what is before it does not fail.
//
// `fails` runs a schedule and, if it fails in the same way, gives back a schedule that does: the
// same one, or what was left of it where not all of its steps could be taken. It is not asked twice
// about the same schedule. Exceptions of it pass through.
using Fails = std::function<std::optional<Schedule>(const Schedule&)>;
Minimised minimise(const Schedule& schedule, const Fails& fails,
                   const MinimiserOptions& options = {});

}  // namespace heddle
