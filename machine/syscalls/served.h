// Which system calls the runtime serves in the tracee, and how: what machine/runtime is told.
#pragma once

#include <array>

#include "machine/runtime/served_calls.h"

namespace heddle {

// By number. Calls that are not in it, and cases that the runtime leaves alone, stop the thread.
const std::array<heddle_served, HEDDLE_SERVED_CALLS>& served_calls();

}  // namespace heddle
