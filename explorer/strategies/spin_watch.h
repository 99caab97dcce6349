// Does a task wait for another one without blocking?
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "machine/scheduler.h"

namespace heddle {

// Told of every decision. A task spins if it reads the same bytes at the same place, or makes the
// same system call, again and again and writes nothing watched meanwhile: it is as well to let
// somebody else run.
class SpinWatch {
 public:
  static constexpr uint32_t kMostReads = 64;  // of one address by one instruction
  static constexpr uint32_t kMostCalls = 16;  // by one instruction

  void begin() { *this = {}; }

  bool spins(const Situation& situation) {
    const bool access = situation.why == DecisionPoint::access;
    const bool writes = access && situation.writes;
    if (situation.at.task != task_ || situation.why == DecisionPoint::blocked || writes) {
      task_ = situation.at.task;
      times_.clear();
    }
    if ((!access && situation.why != DecisionPoint::syscall) || writes) return false;
    // System calls have no address; no watched access is at 0.
    const uint32_t times = ++times_[{situation.at.pc, access ? situation.address : 0}];
    if (times < (access ? kMostReads : kMostCalls)) return false;
    times_.clear();
    return true;
  }

 private:
  TaskId task_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> times_;
};

}  // namespace heddle
