// What each task is about to do, as far as the decisions so far have told.
#pragma once

#include <cstdint>
#include <map>

#include "machine/scheduler.h"

namespace heddle {

struct PendingAccess {
  uint64_t pc = 0;
  uint64_t address = 0;
  uint32_t size = 0;  // bytes; 0: no access, or not known
  bool reads = false, writes = false;

  bool known() const { return size != 0; }
  bool conflicts(const PendingAccess& other) const {
    return known() && other.known() && (writes || other.writes) &&
           address < other.address + other.size && other.address < address + size;
  }
};

// Told of every decision, before it is taken.
class PendingAccesses {
 public:
  void begin() { *this = {}; }

  void note(const Situation& situation) {
    performed_ = {};
    const TaskId task = situation.at.task;
    if (task == chosen_) performed_ = pending_[task];
    PendingAccess& next = pending_[task];
    next = {};
    if (situation.why != DecisionPoint::access || !situation.current_runnable) return;
    // Of an update the second half stores what the first one has loaded.
    const bool store = situation.at.phase == 1;
    next = {situation.at.pc, situation.address, situation.size, !store, situation.writes};
    if (store) next.reads = false;
  }
  void chose(TaskId task) { chosen_ = task; }

  // Of the task that ran last: the access that it has made since it was chosen.
  const PendingAccess& performed() const { return performed_; }
  const PendingAccess& of(TaskId task) { return pending_[task]; }

 private:
  std::map<TaskId, PendingAccess> pending_;
  PendingAccess performed_;
  TaskId chosen_ = 0;
};

}  // namespace heddle
