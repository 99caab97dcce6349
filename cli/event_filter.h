// Which events of a trace somebody wants to see.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "trace_format/event.h"

namespace heddle::cli {

// What is given on the command line; each kind that is given narrows, its values widen.
struct EventFilter {
  std::vector<TaskId> tasks;
  std::vector<std::string> calls;    // names of system calls
  std::vector<int> descriptors;      // that a call is given or gives
  std::vector<std::string> signals;  // "SIGCHLD", "CHLD" or "17"; "all"
  std::string from, to;              // since the recording began: "1.5", "90s", "2m"
};

// The same, understood. Throws std::invalid_argument for a call or a signal that there is not, and
// for what is no time.
class WantedEvents {
 public:
  explicit WantedEvents(const EventFilter& filter);
  bool operator()(const Event& event) const;

 private:
  std::set<TaskId> tasks_;
  std::set<uint32_t> calls_;
  std::set<int> descriptors_;
  std::set<int> signals_;
  bool all_signals_ = false;
  uint64_t from_ns_ = 0, to_ns_ = ~uint64_t{0};
};

}  // namespace heddle::cli
