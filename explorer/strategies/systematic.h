// Every schedule of few preemptions, those of the fewest first.
//
// M. Musuvathi, S. Qadeer, "Iterative Context Bounding for Systematic Testing of Multithreaded
// Programs", PLDI 2007; sleep sets: P. Godefroid, "Partial-Order Methods for the Verification of
// Concurrent Systems", LNCS 1032, 1996, chapter 5.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "explorer/strategies/pending_accesses.h"
#include "explorer/strategies/random_source.h"
#include "explorer/strategies/spin_watch.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// A run repeats the choices of an earlier one up to a decision, makes another choice there, and
// goes on without preemptions. What else could have been chosen is learnt between rounds and run
// later. A task sleeps where its next access was made first in another run, until a conflicting one
// wakes it up. (A sleeping task may need fewer preemptions than the run that had it first: with
// both together a schedule can be missed whose bound is the highest; K. Coons, M. Musuvathi, K.
// McKinley, "Bounded Partial-Order Reduction", OOPSLA 2013.) Where a round has more runs than there
// are schedules known, the rest are random walks.
class Systematic final : public Strategy {
 public:
  static constexpr uint64_t kRound = 32;
  static constexpr uint32_t kMostPreemptions = 3;
  static constexpr size_t kMostDecisions = 500;     // of a run, at which another choice is tried
  static constexpr size_t kMostWaiting = 200'000;   // schedules known and not run yet
  static constexpr Ticks kLongestTurn = 1'000'000;  // then a task is taken to spin

  explicit Systematic(uint64_t seed, Ticks longest_turn = kLongestTurn);

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "systematic"; }
  std::string describe() const override;
  uint64_t round() const override { return kRound; }
  std::string lesson() const override;
  void learn(const std::vector<std::string>& lessons) override;
  std::string finished() const override;

 private:
  struct Sleeper {
    TaskId task = 0;
    PendingAccess access;
  };
  struct Item {
    uint32_t preemptions = 0;
    std::vector<TaskId> choices;
    std::vector<Sleeper> sleep;  // just before the last choice
  };
  struct Node {
    TaskId current = 0, chosen = 0;
    bool current_runnable = false;
    std::vector<Sleeper> ready;  // with what each is about to access
    std::vector<TaskId> asleep;
  };

  void fill_round();
  void wake(const PendingAccess& performed);
  bool sleeps(TaskId task) const;
  TaskId choose(const Situation& situation);
  void add_alternatives(const std::vector<uint64_t>& numbers);

  uint64_t seed_;
  Ticks longest_turn_;
  std::map<uint32_t, std::deque<Item>> waiting_;  // by preemptions
  std::vector<Item> round_;                       // what the runs of this round are
  uint64_t learnt_ = 0;                           // runs before this round
  bool cut_ = false;                              // not all could be kept

  uint64_t run_ = 0;
  RandomSource random_;
  SpinWatch watch_;
  PendingAccesses pending_;
  const Item* item_ = nullptr;  // null: a random walk
  std::vector<Sleeper> sleep_;
  std::vector<Node> nodes_;  // decisions between several tasks
};

}  // namespace heddle
