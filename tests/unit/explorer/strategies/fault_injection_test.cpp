#include "explorer/strategies/fault_injection.h"

#include <gmock/gmock.h>

#include <set>

namespace heddle {
namespace {

using testing::ElementsAre;

// A program of one task that makes three calls, of which each may meet these.
struct Program {
  std::vector<std::pair<uint64_t, std::vector<Fault>>> calls{
      {0x10, {{FaultKind::short_transfer, 1}, {FaultKind::short_transfer, 4}}},
      {0x20, {}},
      {0x30, {{FaultKind::interrupted, 0}}},
      {0x30, {{FaultKind::interrupted, 0}}},
  };

  // Which faults the run gets, as "CALL:FAULT".
  std::vector<std::string> run(FaultInjection& strategy, uint64_t number) const {
    std::vector<std::string> injected;
    strategy.begin(number);
    const std::vector<TaskId> tasks{1};
    Ticks ticks = 0;
    for (size_t i = 0; i < calls.size(); ++i) {
      Situation situation;
      situation.why = DecisionPoint::access;
      situation.at = {1, ++ticks, calls[i].first, 0};
      situation.current_runnable = true;
      situation.runnable = tasks;
      situation.ready = 1;
      situation.faults = calls[i].second;
      const Decision decision = strategy.decide(situation);
      EXPECT_EQ(decision.next, 1u);
      if (decision.fault.kind != FaultKind::none)
        injected.push_back(std::to_string(i) + ":" + fault_text(decision.fault));
    }
    return injected;
  }
};

TEST(FaultInjectionTest, TheFirstRunHasNone) {
  FaultInjection strategy(1);
  EXPECT_TRUE(Program().run(strategy, 0).empty());
}

TEST(FaultInjectionTest, EachTargetOnceWhenTheyAreKnown) {
  FaultInjection strategy(1);
  const Program program;
  program.run(strategy, 0);
  strategy.learn({strategy.lesson()});
  EXPECT_EQ(strategy.finished(), "");
  std::vector<std::string> all;
  for (uint64_t run = FaultInjection::kRound; run < FaultInjection::kRound + 6; ++run)
    for (const auto& fault : program.run(strategy, run)) all.push_back(fault);
  // At the first execution, then at the last.
  EXPECT_THAT(
      all, ElementsAre("0:short:1", "0:short:4", "2:eintr", "0:short:1", "0:short:4", "3:eintr"));
}

TEST(FaultInjectionTest, ARunDependsOnItsNumberAndTheLessonsOnly) {
  const Program program;
  FaultInjection one(7), other(7);
  program.run(one, 0);
  const std::string lesson = one.lesson();
  one.learn({lesson});
  other.learn({lesson});
  for (uint64_t run = 0; run < 20; ++run) program.run(one, 40 + run);
  for (const uint64_t run : {50u, 77u, 300u})
    EXPECT_EQ(program.run(one, run), program.run(other, run));
}

TEST(FaultInjectionTest, AProgramThatMeetsNoneIsDone) {
  FaultInjection strategy(1);
  Program program;
  program.calls.resize(2);
  program.calls[0].second.clear();
  program.run(strategy, 0);
  strategy.learn({strategy.lesson()});
  EXPECT_EQ(strategy.finished(), "no system call of the program can meet a fault");
}

}  // namespace
}  // namespace heddle
