// A failure worth a person's time: what happened, who touched what, and how to see it again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "trace_format/place.h"
#include "trace_format/schedule.h"

namespace heddle {

struct StackFrame {
  uint64_t pc = 0;       // a caller's: the return address
  std::string function;  // demangled; empty: unknown
  std::string file;      // empty: unknown
  uint32_t line = 0;     // 0: unknown
  std::string module;    // the mapped file, for frames without a source line
  bool operator==(const StackFrame&) const = default;
};

// One of the accesses, or a task of a deadlock, or where a program crashed.
struct FindingSide {
  std::string what;               // "write of 4 bytes", "waits for a futex"
  std::string who;                // "thread 2", "goroutine 18", "handler of SIGUSR1 on thread 1"
  Place place;                    // in the finding's own run
  uint64_t address = 0;           // 0: none
  uint32_t size = 0;              // bytes
  std::string variable;           // "counter" or "counter+8"; empty: unknown
  std::vector<StackFrame> stack;  // innermost first
  bool operator==(const FindingSide&) const = default;
};

// What a run printed or how it ended, as recorded and as explored. The empty string is an answer
// too.
struct Difference {
  std::string of;  // "line 3 of standard output", "exit status"
  std::string expected;
  std::string actual;
  bool operator==(const Difference&) const = default;
};

// A turn of the run without which it would have passed.
struct DecidingStep {
  std::string who;   // "thread 2"
  std::string what;  // "is stopped between the load and the store of"
  Place at;
  StackFrame where;
  TaskId next = 0;  // goes on after it
  bool operator==(const DecidingStep&) const = default;
};

struct Finding {
  std::string kind;         // "data race", "deadlock", "crash": begins the heading
  std::string verdict;      // "changed", "failed", ...
  std::string consequence;  // what happened, a sentence without its full stop; may be empty
  std::string fingerprint;  // equal for findings of one kind at one pair of places
  std::vector<FindingSide> sides;
  std::vector<Difference> differences;
  std::vector<DecidingStep> deciding;
  // Is it these that decide? With the two swapped the program passed under this schedule...
  std::string swapped;  // its text; empty: it did not
  // ... and did not under these: "SCHEDULE: VERDICT, REASON".
  std::vector<std::string> swaps_tried;
  // Where it did not: a schedule under which the two come the other way round and it fails too...
  std::string either_order;  // empty: none was made
  // ... and one with a step less, under which it passes.
  std::string without_step;
  Schedule schedule;
  std::string strategy;
  uint64_t seed = 0;
  uint64_t schedules_tried = 0;  // the failing one included
  uint64_t found_steps = 0;      // of the schedule before it was minimised
  uint64_t confirmed = 0;        // times that the schedule was run again and failed in the same way
  std::string origin;            // the recording that was explored: its directory
  bool operator==(const Finding&) const = default;

  // Of kind, functions, files (the module where there is no source) and lines; not of addresses, so
  // that a rebuilt program keeps it. 16 hexadecimal digits.
  static std::string fingerprint_of(std::string_view kind, const std::vector<FindingSide>& sides);

  // JSON with the members' names as keys, the schedule as its text.
  std::string json() const;
  // The inverse. Throws std::runtime_error naming what is wrong.
  static Finding parse(std::string_view json);
};

// A finding's trace keeps it in this file.
inline constexpr std::string_view kFindingFile = "finding.json";

// Of a trace directory; throws std::runtime_error naming the file where it is not readable.
Finding read_finding(const std::filesystem::path& trace);
void write_finding(const Finding& finding, const std::filesystem::path& trace);

}  // namespace heddle
