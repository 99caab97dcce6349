// Where two runs of a program part: task by task, whatever the order in which they ran.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trace_format/event.h"

namespace heddle {

// A task, by its descent: "1", its first child "1.1", that one's second "1.1.2".
struct TaskDifference {
  std::string task;
  size_t same = 0;  // events of the task that both runs have in common
  // The first ones that differ in place, kind or what was asked for; either is missing where the
  // run has no more events of the task. Neither: the task did the same in both.
  std::optional<Event> left, right;
  // Before that: calls and instructions that were the same and were answered differently, as pairs.
  std::vector<std::pair<Event, Event>> answers;
};

struct RunDifference {
  std::vector<TaskDifference> tasks;  // of either run, in the order of their descent
  // Index in `tasks` of the one that parts first, by the left run's order of events; nothing where
  // the two are the same.
  std::optional<size_t> first;
  // What is beyond the tasks' own doing: they were not switched at the same places.
  bool other_schedule = false;
};

// Process and thread numbers are the same where they are of the same task. Addresses are compared
// as they are, since programs are not placed at random.
RunDifference compare_runs(const std::vector<Event>& left, const std::vector<Event>& right);

}  // namespace heddle
