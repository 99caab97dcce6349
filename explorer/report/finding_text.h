// A finding as a person reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trace_format/schedule.h"

namespace heddle::report {

struct Frame {
  uint64_t pc = 0;       // used where there is no name
  std::string function;  // demangled; empty: unknown
  std::string file;      // empty: unknown
  uint32_t line = 0;     // 0: unknown
  std::string module;    // the mapped file, for frames without a source line
};

// One of the accesses, or a task of a deadlock, or where a program crashed.
struct Side {
  std::string what;          // "write of 4 bytes", "waits for a futex"
  std::string who;           // "thread 2", "goroutine 18", "handler of SIGUSR1 on thread 1"
  uint64_t address = 0;      // 0: none
  std::string variable;      // "counter" or "counter+8"; empty: unknown
  std::vector<Frame> stack;  // innermost first
};

// What a run printed or how it ended, as recorded and as explored. The empty string is an answer
// too.
struct Difference {
  std::string of;  // "line 3 of standard output", "exit status"
  std::string expected;
  std::string actual;
};

// A step of the schedule with its source position.
struct DecidingStep {
  ScheduleStep step;
  Frame at;
};

struct FindingText {
  std::string kind;         // "data race", "deadlock", "crash": begins the heading
  std::string verdict;      // "changed", "failed", ...
  std::string consequence;  // what happened, a sentence without its full stop; may be empty
  std::string fingerprint;
  std::vector<Side> sides;
  std::vector<Difference> differences;
  std::vector<DecidingStep> deciding;
  Schedule schedule;
  std::string strategy;
  uint64_t seed = 0;
  uint64_t schedules_tried = 0;
  uint64_t confirmed = 0;  // times that the schedule was run again and failed in the same way
  std::string replay_command;
};

// The whole report, ending in a newline.
std::string finding_text(const FindingText& finding, bool colour);

// "data race on counter: add() main.cpp:10 and add() main.cpp:10", for lists.
std::string finding_line(const FindingText& finding);

// "#0 add main.cpp:10", "#1 0x401136 (/bin/prog)".
std::string frame_text(size_t number, const Frame& frame);

}  // namespace heddle::report
