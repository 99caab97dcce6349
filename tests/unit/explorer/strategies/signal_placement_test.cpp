// Where signals are put.
#include "explorer/strategies/signal_placement.h"

#include <gtest/gtest.h>

namespace heddle {
namespace {

constexpr uint64_t kPc = 0x1000, kHandler = 0x2000;
constexpr int32_t kSignal = 10;

// What a strategy is told, made by hand.
struct Told {
  std::vector<TaskId> runnable{1};
  std::vector<int32_t> signals;
  std::vector<TaskId> interrupted;

  Situation at(DecisionPoint why, TaskId task, uint64_t pc, Ticks ticks, uint8_t phase = 0) const {
    Situation situation;
    situation.why = why;
    situation.at = {task, ticks, pc, phase};
    situation.current_runnable = true;
    situation.runnable = runnable;
    situation.ready = runnable.size();
    situation.signals = signals;
    situation.interrupted = interrupted;
    return situation;
  }
};

TEST(SignalPlacement, ASignalOfTheOutsideComesAtTheFirstExecution) {
  SignalPlacement strategy(1, {{kPc, kSignal, kHandler, true, 3}});
  strategy.begin(0);
  Told told;
  told.signals = {kSignal};
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 1, 0x3000, 1)).signal, 0);
  const Decision decision = strategy.decide(told.at(DecisionPoint::access, 1, kPc, 2));
  EXPECT_EQ(decision.signal, kSignal);
  EXPECT_EQ(decision.next, 1u);
  told.signals.clear();
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 1, kPc, 3)).signal, 0);
}

TEST(SignalPlacement, WhenTheTargetsComeRoundItIsTheLastExecution) {
  SignalPlacement strategy(1, {{kPc, kSignal, kHandler, true, 3}});
  strategy.begin(1);
  Told told;
  told.signals = {kSignal};
  for (const Ticks ticks : {1u, 2u})
    EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 1, kPc, ticks)).signal, 0);
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 1, kPc, 3)).signal, kSignal);
}

TEST(SignalPlacement, NeverInsideAnInstruction) {
  SignalPlacement strategy(1, {{kPc, kSignal, kHandler, true, 1}});
  strategy.begin(0);
  Told told;
  told.signals = {kSignal};
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 1, kPc, 1, 1)).signal, 0);
}

TEST(SignalPlacement, WaitsForASignalThatATaskSends) {
  SignalPlacement strategy(1, {{kPc, kSignal, kHandler, true, 1}});
  strategy.begin(0);
  Told told;
  told.runnable = {1, 2};
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 1, kPc, 1)).next, 2u);
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::syscall, 2, 0x4000, 5)).next, 2u);
  told.interrupted = {1};
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::syscall, 2, 0x4010, 6)).next, 1u);
}

TEST(SignalPlacement, GivesUpWhereNobodyElseCanRun) {
  SignalPlacement strategy(1, {{kPc, kSignal, kHandler, true, 1}});
  strategy.begin(0);
  const Told told;
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 1, kPc, 1)).next, 1u);
}

TEST(SignalPlacement, AnotherThreadTakesTheSignalWhileTheFirstIsHeld) {
  SignalPlacement strategy(1, {{kPc, kSignal, kHandler, false, 1}});
  strategy.begin(0);
  Told told;
  told.runnable = {1, 2};
  told.signals = {kSignal};
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 1, kPc, 1)).next, 2u);
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::syscall, 2, 0x4000, 5)).signal, kSignal);
  told.signals.clear();
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::access, 2, kHandler, 6)).next, 2u);
  EXPECT_EQ(strategy.decide(told.at(DecisionPoint::budget, 2, 0x2008, 6)).next, 1u);
}

}  // namespace
}  // namespace heddle
