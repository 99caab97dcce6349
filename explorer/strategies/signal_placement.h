// Lets each signal come at each place that its handler conflicts with.
//
// Nothing published explores signals of unmodified programs; that a handler is to be placed at the
// accesses that it shares is from J. Regehr, "Random Testing of Interrupt-Driven Software", EMSOFT
// 2005, and T. Yu, W. Srisa-an, G. Rothermel, "SimRT: An Automated Framework to Support Regression
// Testing for Data Races", ICSE 2014.
#pragma once

#include <vector>

#include "explorer/strategies/random_source.h"
#include "explorer/strategies/spin_watch.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// A place where a signal may do harm.
struct SignalTarget {
  uint64_t pc = 0;          // of the access, or of a call that waits
  int32_t signal = 0;       // its number
  uint64_t handler_pc = 0;  // the handler's conflicting access; 0: none
  bool same_thread = true;  // the handler runs on the thread that is at `pc`; else on another one
  uint32_t count = 0;       // executions of `pc` in the analysed run; 0: unknown
  bool operator==(const SignalTarget&) const = default;
};

// Run k takes target k mod n, at its first execution when the targets come round first, then at its
// last one, then at random ones. A task that reaches the place is held there until the signal is
// due to it: a signal of the outside comes at once, one that a task of the program sends is waited
// for. A target of another thread lets the signal come to each other task in turn, and the held one
// go on once the handler has touched what both share. Then tasks run until they block or spin.
class SignalPlacement final : public Strategy {
 public:
  static constexpr uint32_t kLongestHold = 500;  // decisions
  static constexpr Ticks kTurn = 100'000;

  // Throws std::invalid_argument if there are no targets.
  SignalPlacement(uint64_t seed, std::vector<SignalTarget> targets);

  void begin(uint64_t run) override;
  Decision decide(const Situation& situation) override;
  std::string name() const override { return "signal-placement"; }
  std::string describe() const override;

 private:
  enum class State : uint8_t { seeking, holding, released };
  Decision seek(const Situation& situation);
  Decision hold(const Situation& situation);
  Decision go_on(const Situation& situation);
  Decision release(const Situation& situation);
  // The next of those that are ready and not held; 0: there is none.
  TaskId another(const Situation& situation);
  bool comes(const Situation& situation) const;

  uint64_t seed_;
  std::vector<SignalTarget> targets_;
  uint64_t run_ = 0;
  RandomSource random_;

  SpinWatch watch_;
  bool spins_ = false;  // the task that ran last
  SignalTarget target_;
  uint64_t occurrence_ = 1;
  State state_ = State::seeking;
  uint64_t reached_ = 0;
  uint32_t decisions_ = 0;  // of the hold
  TaskId held_ = 0;
  uint32_t takers_ = 0;  // of another thread: whose turn it is to take the signal
  bool sent_ = false;
};

}  // namespace heddle
