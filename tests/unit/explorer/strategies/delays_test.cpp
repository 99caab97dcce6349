#include "explorer/strategies/delays.h"

#include <gmock/gmock.h>

#include "tests/unit/explorer/strategies/toy_programs.h"

namespace heddle {
namespace {

using toy::Kind;
using toy::kShared;

Pct::Options estimate(Ticks ticks, uint64_t accesses) {
  Pct::Options options;
  options.ticks = ticks;
  options.accesses = accesses;
  options.longest_turn = 5000;
  return options;
}

TEST(DelaysTest, ARunHasAsManySwitchesAsDelaysAtMost) {
  for (uint64_t run = 0; run < 60; ++run) {
    Delays delays(1, {}, estimate(80, 30));
    const ToyOutcome outcome = run_toy(toy::check_then_use(3), delays, run);
    size_t held = 0;
    for (const ToyStep& step : outcome.steps) held += step.decision.holds;
    EXPECT_LE(held, 1 + run % Delays::kMostDelays);
    EXPECT_EQ(outcome.schedule.steps.size(), held);
  }
}

TEST(DelaysTest, ATargetsSideIsDelayedBetweenItsLoadAndItsStore) {
  Target target;
  target.first_pc = target.second_pc = ToyProgram::pc(0, 1);
  target.first_count = target.second_count = 2;
  target.first_updates = target.second_updates = true;
  size_t found = 0;
  for (uint64_t run = 0; run < 30; ++run) {
    // Nothing else is known of the program: its one tick and no access.
    Delays delays(7, {target}, estimate(1, 0));
    found += toy::lost(run_toy(toy::lost_update(), delays, run));
  }
  EXPECT_GT(found, 5u);
}

TEST(DelaysTest, FindsWhatOneDelayAtAnAccessIsEnoughFor) {
  size_t found = 0;
  for (uint64_t run = 0; run < 300; ++run) {
    Delays delays(3, {}, estimate(1, 34));
    found += toy::changed_between(run_toy(toy::check_then_use(7), delays, run));
  }
  EXPECT_GT(found, 3u);
}

TEST(DelaysTest, IsTheSameAgain) {
  for (uint64_t run = 0; run < 20; ++run) {
    Delays one(5, {}, estimate(2000, 20)), other(5, {}, estimate(2000, 20));
    run_toy(toy::mixed(), other, 99);
    const ToyOutcome first = run_toy(toy::mixed(), one, run),
                     again = run_toy(toy::mixed(), other, run);
    EXPECT_EQ(first.steps, again.steps);
    EXPECT_EQ(first.end, ToyOutcome::End::finished);
  }
}

TEST(DelaysTest, ADelayThatIsDueWaitsForAnotherTask) {
  // Task 2 sleeps when the delay is due; time does not jump for it.
  const ToyProgram program{{{{Kind::work, 0, 20}, {Kind::store, kShared, 1}},
                            {{Kind::sleep, 0, 1000}, {Kind::load, kShared, 0}}},
                           {1, 0}};
  for (uint64_t run = 0; run < 20; ++run) {
    Delays delays(run, {}, estimate(10, 0));
    for (const ToyStep& step : run_toy(program, delays, 0).steps)
      EXPECT_FALSE(step.decision.holds && step.ready < 2);
  }
}

TEST(DelaysTest, SaysWhatItDoes) {
  Delays delays(9, {}, estimate(10, 0));
  delays.begin(4);
  EXPECT_EQ(delays.name(), "delays");
  EXPECT_EQ(delays.describe(), "delays 2 seed 9 run 4");
}

}  // namespace
}  // namespace heddle
