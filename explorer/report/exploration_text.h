// An exploration as a person reads it: while it goes on, and when it is over.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace heddle::report {

struct ExplorationText {
  uint64_t race_pairs = 0;          // with nothing that orders them
  uint64_t lock_ordered_pairs = 0;  // ordered only by who came first
  uint64_t without_effect = 0;      // of the first: run in both orders, which came to the same
  uint64_t schedules = 0;
  std::map<std::string, uint64_t> verdicts;    // schedules by verdict
  std::map<std::string, uint64_t> infeasible;  // schedules by reason
  std::map<std::string, uint64_t> strategies;  // schedules by strategy
  std::vector<std::string> findings;           // finding_line() of each
  double seconds = 0;
  std::string stopped;  // why: "10 seconds are over", "a finding", "interrupted"
};

// Ends in a newline. Of the reasons for infeasible schedules, the most frequent ones.
std::string exploration_text(const ExplorationText& exploration, bool colour);

// One line without a newline: "12,345 schedules, 410/s, 2 findings".
std::string progress_line(uint64_t schedules, double seconds, uint64_t findings);
// Likewise: "minimising, 120 runs, 7 steps".
std::string minimising_line(uint64_t runs, size_t steps);

}  // namespace heddle::report
