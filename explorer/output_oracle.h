// Does a run that ended by itself mean that something went wrong?
#pragma once

#include <map>
#include <set>
#include <string>

#include "explorer/model_run.h"

namespace heddle {

// Commands of the user's, run by /bin/sh -c; empty: none.
struct OracleCommands {
  // What both runs printed goes through it before it is compared: it takes out what may differ.
  std::string filter;
  // Judges instead of the comparison: it gets the output, HEDDLE_STATUS is the exit status (128 and
  // the signal's number where one ended it), and fails where something went wrong.
  std::string command;
};

// Lines without their numbers and the names of days and months.
using VaryingLines = std::set<std::string>;

// The lines that show the time (12:30, or ten digits in a row) and differ in two runs' output in
// these only. A number that may be the program's result is compared.
VaryingLines varying_lines(const std::string& one, const std::string& other);
// Can there be such lines?
bool shows_time(const std::string& output);

class OutputOracle {
 public:
  // Of the recorded run: wait(2)'s status word, and what it wrote. `varying`, which outlives this:
  // lines of which numbers and names of days and months are not compared.
  OutputOracle(int status, std::string output, std::string error, const VaryingLines& varying,
               OracleCommands commands);

  // A verdict other than `same` stands. Throws std::system_error where a command cannot be run.
  void judge(RunOutcome& outcome);

 private:
  const std::string& filtered(const std::string& text);
  bool alike(const std::string& one, const std::string& other);

  int status_;
  std::string output_, error_;
  const VaryingLines& varying_;
  OracleCommands commands_;
  std::map<std::string, std::string> filtered_;  // what the filter made of it
};

// The line in which a Go program says why it died ("panic: ...", "fatal error: ..."), or empty.
std::string go_failure(const std::string& error);

}  // namespace heddle
