// A finding as a person reads it.
#pragma once

#include <string>

#include "trace_format/finding.h"

namespace heddle::report {

// The whole report, ending in a newline. `replay_command`: of this finding; empty: not stored.
std::string finding_text(const Finding& finding, const std::string& replay_command, bool colour);

// "data race on counter: add() main.cpp:10 and add() main.cpp:10", for lists.
std::string finding_line(const Finding& finding);

// "#0 add main.cpp:10", "#1 0x401136 (/bin/prog)".
std::string frame_text(size_t number, const StackFrame& frame);

}  // namespace heddle::report
