#include "explorer/strategies/race_directed.h"

#include <gtest/gtest.h>

#include "tests/unit/explorer/strategies/toy_programs.h"

namespace heddle {
namespace {

using toy::kFlag;
using toy::Kind;
using toy::kShared;

// Are the first accesses at `first` and then `second` next to each other?
bool adjacent(const ToyOutcome& outcome, uint64_t first, uint64_t second) {
  for (size_t i = 1; i < outcome.accesses.size(); ++i)
    if (outcome.accesses[i - 1].second == first && outcome.accesses[i].second == second)
      return true;
  return false;
}

// A task writes after long work, another one reads at once.
const ToyProgram kOneRace{{{{Kind::work, 0, 3000}, {Kind::store, kShared, 1}, {Kind::work, 0, 10}},
                           {{Kind::load, kShared, 0}, {Kind::work, 0, 10}}},
                          {0, 1}};

Target one_race() {
  Target target;
  target.first_pc = ToyProgram::pc(0, 1);
  target.second_pc = ToyProgram::pc(1, 0);
  target.first_count = target.second_count = 1;
  return target;
}

TEST(RaceDirectedTest, AchievesBothOrdersInItsFirstTwoRuns) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    RaceDirected strategy(seed, {one_race()});
    const ToyOutcome held_write = run_toy(kOneRace, strategy, 0);
    EXPECT_TRUE(strategy.achieved()) << strategy.describe();
    EXPECT_TRUE(adjacent(held_write, ToyProgram::pc(1, 0), ToyProgram::pc(0, 1)));
    EXPECT_EQ(strategy.met(), (Meeting{0, true}));
    const ToyOutcome held_read = run_toy(kOneRace, strategy, 1);
    EXPECT_TRUE(strategy.achieved()) << strategy.describe();
    EXPECT_TRUE(adjacent(held_read, ToyProgram::pc(0, 1), ToyProgram::pc(1, 0)));
    EXPECT_EQ(strategy.met(), (Meeting{0, false}));
  }
}

TEST(RaceDirectedTest, TearsAnUpdateInItsFirstRun) {
  Target target;
  target.first_pc = target.second_pc = ToyProgram::pc(0, 1);
  target.first_updates = target.second_updates = true;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    RaceDirected strategy(seed, {target});
    EXPECT_TRUE(toy::lost(run_toy(toy::lost_update(), strategy, 0)));
    EXPECT_TRUE(strategy.achieved());
  }
}

TEST(RaceDirectedTest, TakesItsTargetsInTurn) {
  Target other = one_race();
  std::swap(other.first_pc, other.second_pc);
  RaceDirected strategy(1, {one_race(), other});
  for (uint64_t run = 0; run < 8; ++run) {
    strategy.begin(run);
    EXPECT_EQ(strategy.target(), run % 2 == 0 ? one_race() : other);
  }
}

TEST(RaceDirectedTest, WaitsForAnExecutionBehindOthers) {
  // The write that hurts is the last of ten at the same place: the flag is set before it only.
  ToyProgram program{{{}, {{Kind::work, 0, 5}, {Kind::load, kFlag, 0}, {Kind::store, 2, 0}}},
                     {0, 1}};
  for (int i = 0; i < 10; ++i) {
    program.functions[0].push_back({Kind::work, 0, 30});
    program.functions[0].push_back({Kind::update, kFlag, 1});
  }
  Target target;
  target.first_pc = ToyProgram::pc(0, 19);
  target.second_pc = ToyProgram::pc(1, 1);
  target.first_updates = true;
  target.first_count = target.second_count = 1;
  RaceDirected strategy(3, {target});
  const ToyOutcome outcome = run_toy(program, strategy, 0);
  EXPECT_TRUE(strategy.achieved());
  EXPECT_EQ(outcome.variables.at(2), 9u);
}

TEST(RaceDirectedTest, GivesUpWhereALockForbidsIt) {
  const ToyProgram program{
      {{{Kind::lock, 0, 0}, {Kind::update, kShared, 1}, {Kind::unlock, 0, 0}, {Kind::work, 0, 10}}},
      {0, 0}};
  Target target;
  target.first_pc = target.second_pc = ToyProgram::pc(0, 1);
  target.first_updates = target.second_updates = true;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RaceDirected strategy(seed, {target});
    for (uint64_t run = 0; run < 8; ++run) {
      const ToyOutcome outcome = run_toy(program, strategy, run);
      EXPECT_EQ(outcome.end, ToyOutcome::End::finished);
      EXPECT_FALSE(toy::lost(outcome));
      EXPECT_FALSE(strategy.achieved());
    }
  }
}

TEST(RaceDirectedTest, LetsTimePassForTheOtherSide) {
  // The reader comes a long sleep later; held back, the writer waits for it.
  const ToyProgram program{
      {{{Kind::work, 0, 10}, {Kind::store, kShared, 1}},
       {{Kind::sleep, 0, 1'000'000}, {Kind::load, kShared, 0}, {Kind::store, 2, 0}}},
      {0, 1}};
  Target target;
  target.first_pc = ToyProgram::pc(0, 1);
  target.second_pc = ToyProgram::pc(1, 1);
  RaceDirected strategy(5, {target});
  const ToyOutcome outcome = run_toy(program, strategy, 0);
  EXPECT_TRUE(strategy.achieved());
  EXPECT_EQ(outcome.variables.at(2), 0u);
}

TEST(RaceDirectedTest, OtherVariablesAtTheSamePlacesAreNoMeeting) {
  // Both sides execute the places on variables of their own before they share one.
  const ToyProgram program{{{{Kind::store, kShared, 1}}, {{Kind::store, kFlag, 1}}}, {0, 1}};
  Target target;
  target.first_pc = ToyProgram::pc(0, 0);
  target.second_pc = ToyProgram::pc(1, 0);
  RaceDirected strategy(5, {target});
  for (uint64_t run = 0; run < 8; ++run) {
    EXPECT_EQ(run_toy(program, strategy, run).end, ToyOutcome::End::finished);
    EXPECT_FALSE(strategy.achieved());
  }
}

TEST(RaceDirectedTest, ASpinningTaskDoesNotKeepAHoldForEver) {
  // Task 2 waits for task 1 by spinning, so task 1 cannot be held until task 2 arrives.
  const ToyProgram program{{{{Kind::store, kShared, 1}, {Kind::store, kFlag, 1}},
                            {{Kind::spin_until, kFlag, 0}, {Kind::load, kShared, 0}}},
                           {0, 1}};
  Target target;
  target.first_pc = ToyProgram::pc(0, 0);
  target.second_pc = ToyProgram::pc(1, 1);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RaceDirected strategy(seed, {target});
    for (uint64_t run = 0; run < 4; ++run)
      EXPECT_EQ(run_toy(program, strategy, run).end, ToyOutcome::End::finished);
  }
}

TEST(RaceDirectedTest, NeedsATarget) {
  EXPECT_THROW(RaceDirected(1, {}), std::invalid_argument);
}

TEST(RaceDirectedTest, SaysWhatItDoes) {
  Target target;
  target.first_pc = 0x401000;
  target.second_pc = 0x402000;
  target.first_updates = true;
  RaceDirected strategy(9, {target});
  strategy.begin(0);
  EXPECT_EQ(strategy.name(), "race-directed");
  EXPECT_EQ(strategy.describe(),
            "race-directed hold 401000 (split) at execution 1 for 402000 seed 9 run 0");
}

}  // namespace
}  // namespace heddle
