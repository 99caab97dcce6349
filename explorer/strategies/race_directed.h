// Holds a task at one side of a suspected race until another one performs the other side.
//
// K. Sen, "Race Directed Random Testing of Concurrent Programs", PLDI 2008.
#pragma once

#include <vector>

#include "explorer/strategies/random_source.h"
#include "explorer/strategies/spin_watch.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// Run k takes target k mod n and holds one side of it, then the other one when the targets come
// round again. A plain side is held in front of its access; an update, between its load and its
// store (in every fourth turn in front as well). First its first execution is held, in later turns
// a random one.
//
// The states of a run, with what leads on:
//   seeking     - the held side is reached and another task could run -> holding, or performing if
//                 somebody was put off in front of the other side
//   holding     - another task is about to touch the bytes, one of both writes -> performing
//               - only the held task is runnable, or too many decisions passed -> seeking, or
//                 released once that happened too often
//   performing  - the other task has gone on past its access -> released, the held task runs
//   released    - the rest of the run: tasks run until they block, or by random budgets
//
// No turn is endless: a task that spins and waits for another one gives way.
//
// While the held side is sought, a task that arrives at the other one is put off: it stays there
// until all who could run are put off or it took too long.
class RaceDirected final : public Strategy {
 public:
  static constexpr uint32_t kLongestHold = 2000;  // decisions
  static constexpr uint32_t kMostSpent = 500;  // of them because a task that runs on spent its turn
  static constexpr uint32_t kMostHolds = 8;    // given up in a run
  static constexpr uint32_t kMostJumps = 64;   // in time, while everyone but the held task sleeps
  static constexpr uint32_t kMostSeekingJumps = 8;  // likewise, while everyone is put off
  static constexpr uint32_t kMostDeferrals = 64;    // tasks put off in a run
  static constexpr Ticks kMeanTurn = 4000;
  static constexpr Ticks kLongTurn = 64 * kMeanTurn;

  // Throws std::invalid_argument if there are no targets.
  RaceDirected(uint64_t seed, std::vector<Target> targets);

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "race-directed"; }
  std::string describe() const override;

  std::optional<Meeting> met() const override;

  // The two sides met: the held access was performed right after the other one.
  bool achieved() const { return achieved_; }
  const Target& target() const { return targets_[target_]; }

 private:
  enum class State : uint8_t { seeking, holding, performing, released };

  Decision seek(const Situation& situation);
  Decision begin_hold(const Situation& situation);
  Decision hold(const Situation& situation);
  Decision perform(const Situation& situation);
  Decision release(const Situation& situation);
  Decision give_up(const Situation& situation);
  // A random one that neither needs time to pass nor is `than` or put off; if there is none,
  // somebody who is.
  Decision another(const Situation& situation, TaskId than);
  bool took_too_long(const Situation& situation);
  Decision go_on(const Situation& situation);
  bool is_runnable(const Situation& situation, TaskId task) const;
  // Does what is touched meet what the held task touches, one of both writing?
  bool conflicts(const std::vector<Touch>& touches) const;

  uint64_t seed_;
  std::vector<Target> targets_;
  uint64_t run_ = 0;
  RandomSource random_;

  // The run's plan.
  size_t target_ = 0;
  uint64_t held_pc_ = 0, other_pc_ = 0;
  uint8_t held_phase_ = 0;
  bool other_updates_ = false;
  uint64_t occurrence_ = 1;
  bool runs_on_ = true;  // once released, tasks are stopped only where they block

  SpinWatch watch_;
  bool spins_ = false;  // the task that ran last
  State state_ = State::seeking;
  bool achieved_ = false;
  uint64_t reached_ = 0;  // times that the held side was reached
  uint32_t holds_ = 0;    // given up
  uint32_t deferrals_ = 0;
  uint32_t decisions_ = 0, spent_ = 0;  // of the current hold, or the search for it
  uint32_t jumps_ = 0, seeking_jumps_ = 0;
  TaskId held_ = 0, performer_ = 0;
  uint64_t performer_pc_ = 0;
  std::vector<Touch> held_touches_;

  // In front of the other side.
  struct PutOff {
    TaskId task = 0;
    std::vector<Touch> touches;
  };
  std::vector<PutOff> put_off_;  // earliest first
};

}  // namespace heddle
