// What a user does not want to hear of again, in the syntax of ThreadSanitizer's suppression files
// (https://github.com/google/sanitizers/wiki/ThreadSanitizerSuppressions).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "trace_format/finding.h"

namespace heddle {

// A line is empty, a comment that begins with #, or TYPE:PATTERN. A pattern is a part of a function
// name, a source file or a module; * stands for anything, ^ at its beginning and $ at its end hold
// it there. Types:
//   race             any frame of either side
//   race_top         the innermost frame of either side
//   signal           the same as race, where a side is in a signal handler
//   deadlock         any frame of a side or of a deciding step
//   called_from_lib  a side with a frame in a library of that name
//   mutex, thread    accepted, and match nothing: there are no such reports
class Suppressions {
 public:
  enum class Of : uint8_t { race, signal, deadlock };

  Suppressions() = default;
  // `source` names the text in errors. Throws std::runtime_error with source, line, and what was
  // expected.
  static Suppressions parse(std::string_view text, const std::string& source);
  // Throws std::runtime_error where it is not readable.
  static Suppressions read(const std::string& file);

  // A report about code at these stacks, innermost frame first.
  bool match(Of of, const std::vector<std::vector<StackFrame>>& stacks) const;
  bool match(const Finding& finding) const;
  bool empty() const { return rules_.empty(); }

 private:
  struct Rule {
    std::string type, pattern;
  };
  static bool matches(const Rule& rule, const std::vector<StackFrame>& stack);

  std::vector<Rule> rules_;
};

// Does the pattern match part of `text`?
bool suppression_pattern_matches(std::string_view pattern, std::string_view text);

}  // namespace heddle
