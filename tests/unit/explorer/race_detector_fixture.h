// Accesses of tasks, told to a race detector.
#pragma once

#include <gmock/gmock.h>

#include "explorer/race_detector.h"

namespace heddle {

inline constexpr uint64_t kWord = 0x1000;   // an address of data
inline constexpr uint64_t kLock = 0x2000;   // ... of what synchronises
inline constexpr uint64_t kOther = 0x3000;  // ... of something else

class RaceDetectorTest : public testing::Test {
 protected:
  // `task` is the strand's too.
  void touch(TaskId task, uint64_t pc, AccessKind kind, uint64_t address = kWord,
             uint32_t size = 4) {
    Access access;
    access.strand = task;
    access.place = {task, ++ticks_, pc, 0};
    access.address = address;
    access.size = size;
    access.kind = kind;
    detector.access(access);
  }
  void touch_in_library(TaskId task, uint64_t pc, AccessKind kind, uint64_t address = kWord) {
    Access access;
    access.strand = task;
    access.place = {task, ++ticks_, pc, 0};
    access.address = address;
    access.size = 4;
    access.kind = kind;
    access.ordered_only = true;
    detector.access(access);
  }
  // As a spin lock does it.
  void lock(TaskId task, uint64_t address = kLock) {
    touch(task, 0x90, AccessKind::locked, address);
  }
  void unlock(TaskId task, uint64_t address = kLock) {
    touch(task, 0x91, AccessKind::write, address);
  }

  // The pcs of each pair, in the order of the run.
  static std::vector<std::pair<uint64_t, uint64_t>> pairs(const std::vector<RaceCandidate>& found) {
    std::vector<std::pair<uint64_t, uint64_t>> pcs;
    for (const auto& pair : found) pcs.emplace_back(pair.first.place.pc, pair.second.place.pc);
    return pcs;
  }
  std::vector<std::pair<uint64_t, uint64_t>> races() const { return pairs(detector.races()); }
  std::vector<std::pair<uint64_t, uint64_t>> lock_ordered() const {
    return pairs(detector.lock_ordered());
  }

  RaceDetector detector;

 private:
  Ticks ticks_ = 0;
};

}  // namespace heddle
