// Which logical thread a task's accesses belong to, where the program is Go.
#pragma once

#include <map>
#include <set>

#include "explorer/race_detector.h"
#include "machine/stacks/symbols.h"
#include "machine/tracee/guest_cpu.h"

namespace heddle {

// Goroutines are strands: followed by hooks on runtime.gogo, which switches to one, and
// runtime.newproc, which makes one. In other programs every task is a strand. Strands of one g
// structure are one: a goroutine that reuses an ended one's continues its strand.
class Goroutines {
 public:
  explicit Goroutines(const Symbols& symbols);

  const std::set<uint64_t>& hooks() const { return hooks_; }
  StrandId strand(TaskId task);
  // `context` has reached one of the hooks.
  void hooked(const TaskContext& context, const GuestMemory& memory, RaceDetector& detector);
  // Does this function belong to Go's runtime, whose locks order nothing that the program wrote?
  bool internal(const std::string& function) const;

 private:
  StrandId numbered(uint64_t g, bool* fresh);

  std::set<uint64_t> hooks_;
  uint64_t gogo_ = 0;
  std::map<uint64_t, StrandId> by_g_;  // also tasks: keys below 2^32 are TaskIds
  std::map<TaskId, StrandId> running_;
};

}  // namespace heddle
