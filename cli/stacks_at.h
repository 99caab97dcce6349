// Call stacks of every task at one point of a recording.
#pragma once

#include <string>

namespace heddle::cli {

// `where` is the number of an event, after which the stacks are taken, or a place
// ("TASK@TICKS:PC"), at which they are. Prints them; returns the exit status. Throws
// std::runtime_error where the recording has no such point.
int print_stacks_at(const std::string& trace, const std::string& where);

}  // namespace heddle::cli
