// Interleavings of the accesses to one variable, each as likely.
//
// H. Zhao, D. Wolff, U. Mathur, A. Roychoudhury, "Selectively Uniform Concurrency Testing", ASPLOS
// 2025: a walk that chooses each task with a probability proportional to the interesting events
// that it has left is uniform over their interleavings; which events are interesting is drawn anew
// for every run.
#pragma once

#include <map>
#include <set>

#include "explorer/strategies/pending_accesses.h"
#include "explorer/strategies/random_source.h"
#include "explorer/strategies/spin_watch.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// One task is intended to make the next interesting access, and the others wait in front of theirs;
// all else runs at random. How many accesses each task makes to which address is learnt from the
// runs of earlier rounds; before there are any, all accesses are interesting and each task counts
// the same.
class Surw final : public Strategy {
 public:
  static constexpr uint64_t kRound = 16;
  static constexpr Ticks kMeanTurn = 4000;
  static constexpr size_t kMostTold = 400;  // counts in a lesson

  explicit Surw(uint64_t seed) : seed_(seed) {}

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "surw"; }
  std::string describe() const override;
  uint64_t round() const override { return kRound; }
  std::string lesson() const override;
  void learn(const std::vector<std::string>& lessons) override;

 private:
  struct Count {
    uint64_t accesses = 0;
    bool writes = false;
    bool operator==(const Count&) const = default;
  };
  using Counts = std::map<uint64_t, std::map<TaskId, Count>>;  // by address

  bool interesting(const PendingAccess& access) const;
  void intend(std::span<const TaskId> tasks);

  uint64_t seed_;
  Counts known_;                  // the most of any run
  std::vector<uint64_t> shared_;  // addresses that several tasks access and one of them writes

  uint64_t run_ = 0;
  RandomSource random_;
  SpinWatch watch_;
  PendingAccesses pending_;
  Counts seen_;
  uint64_t address_ = 0;  // whose accesses are interesting; 0: all
  std::map<TaskId, uint64_t> left_;
  TaskId intended_ = 0;
};

}  // namespace heddle
