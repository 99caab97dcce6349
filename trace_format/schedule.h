// A schedule: which task runs, until where, which signals arrive and which faults are injected. A
// value with a text form.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "trace_format/fault.h"
#include "trace_format/place.h"

namespace heddle {

// At `at`, stop at.task; deliver `signal` to it (0: none); then run `next`. With a fault, `at` is
// in front of a system call, which ends so when it is made.
//
// A step may hold at.task back: it goes on when a later step names it, or nobody else can go on,
// those who sleep included. One whose `next` is at.task itself holds all others back: at.task does
// not give way until it waits.
struct ScheduleStep {
  Place at;
  TaskId next = 0;
  int32_t signal = 0;
  Fault fault{};
  bool holds = false;
  bool operator==(const ScheduleStep&) const = default;
};

// Steps are in the order in which they happen. Where no step applies (a task blocks or ends with no
// step at that point, or has run for very long while others could) the next task is the runnable
// one that has waited longest, so an empty Schedule is a valid one.
struct Schedule {
  std::vector<ScheduleStep> steps;
  bool operator==(const Schedule&) const = default;

  // "TASK@TICKS:PC[.PHASE]>NEXT[!SIGNAL][~FAULT]" joined by ",", pc in hexadecimal, the rest
  // decimal, FAULT as fault_text() has it, ">>" where TASK is held back; the empty schedule is "-".
  // Locale-independent.
  std::string text() const;

  // The inverse of text(). Throws std::invalid_argument naming the offset and what was expected.
  static Schedule parse(std::string_view text);
};

// "TASK@TICKS:PC[.PHASE]", a place as schedules write it. Throws as Schedule::parse does.
Place parse_place(std::string_view text);

}  // namespace heddle
