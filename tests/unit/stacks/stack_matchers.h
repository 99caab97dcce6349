// What a test expects of a frame.
#pragma once

#include <gmock/gmock.h>

#include <ostream>
#include <string>

#include "machine/stacks/unwinder.h"
#include "tests/unit/stacks/source_lines.h"

namespace heddle {

inline void PrintTo(const Frame& frame, std::ostream* out) {
  *out << std::hex << frame.pc << std::dec << " " << frame.function << " " << frame.file << ":"
       << frame.line << (frame.inlined ? " inlined" : "");
}

namespace testing {

MATCHER_P(in, function, "is in " + std::string(function)) {
  return arg.function == function;
}

// The frame is in `function`, at the line of `file` that contains `text`.
MATCHER_P3(calls, function, file, text,
           "is in " + std::string(function) + " at '" + text + "' of " + file) {
  return arg.function == function && arg.file.ends_with(std::string("/") + file) &&
         arg.line == line_of(file, text);
}

}  // namespace testing
}  // namespace heddle
