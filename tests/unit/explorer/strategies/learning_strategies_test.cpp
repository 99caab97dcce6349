// Strategies that learn, and partial-order sampling.
#include <gmock/gmock.h>

#include "explorer/strategies/portfolio.h"
#include "explorer/strategies/pos.h"
#include "explorer/strategies/reads_from.h"
#include "explorer/strategies/surw.h"
#include "explorer/strategies/systematic.h"
#include "tests/unit/explorer/strategies/toy_programs.h"

namespace heddle {
namespace {

using toy::Kind;
using toy::kShared;

// Runs `strategy` in its rounds until a run of `program` fails; how many that took, or 0.
uint64_t runs_until(const ToyProgram& program, bool (*fails)(const ToyOutcome&), Strategy& strategy,
                    uint64_t most) {
  std::vector<std::string> lessons;
  for (uint64_t run = 0; run < most && strategy.finished().empty(); ++run) {
    if (fails(run_toy(program, strategy, run))) return run + 1;
    lessons.push_back(strategy.lesson());
    if (lessons.size() == strategy.round()) strategy.learn(std::exchange(lessons, {}));
  }
  return 0;
}

// A flag is set, and by another task taken back: only if both are seen in between does it fail.
ToyProgram seen_twice() {
  return {{{{Kind::store, kShared, 1}, {Kind::call, 0, 0}, {Kind::store, kShared, 2}},
           {{Kind::load, kShared, 0},
            {Kind::store, 2, 0},
            {Kind::load, kShared, 0},
            {Kind::store, 3, 0}}},
          {0, 1}};
}
bool sees_the_first_once(const ToyOutcome& outcome) {
  return outcome.variables.at(2) == 0 && outcome.variables.at(3) == 1;
}

template <typename S>
class Learning : public testing::Test {};
using All = testing::Types<Pos, Surw, ReadsFrom, Systematic>;
TYPED_TEST_SUITE(Learning, All);

TYPED_TEST(Learning, FindsATornUpdate) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    TypeParam strategy(seed);
    EXPECT_GT(runs_until(toy::lost_update(), toy::lost, strategy, 100), 0u) << seed;
  }
}

TYPED_TEST(Learning, FindsACheckThatIsOvertaken) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    TypeParam strategy(seed);
    EXPECT_GT(runs_until(toy::check_then_use(4), toy::changed_between, strategy, 400), 0u) << seed;
  }
}

TYPED_TEST(Learning, FindsARareOrder) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    TypeParam strategy(seed);
    EXPECT_GT(runs_until(seen_twice(), sees_the_first_once, strategy, 200), 0u) << seed;
  }
}

TYPED_TEST(Learning, LearnsTheSameFromTheSameLessons) {
  const auto make = [] {
    if constexpr (std::is_constructible_v<TypeParam, uint64_t, Ticks>)
      return TypeParam(3, 2000);
    else
      return TypeParam(3);
  };
  TypeParam one = make(), other = make();
  for (uint64_t round = 0; round < 4; ++round) {
    std::vector<std::string> lessons;
    const uint64_t size = std::max<uint64_t>(one.round(), 8);
    for (uint64_t run = round * size; run < (round + 1) * size; ++run) {
      EXPECT_EQ(run_toy(toy::mixed(), one, run).steps, run_toy(toy::mixed(), other, run).steps);
      lessons.push_back(one.lesson());
      EXPECT_EQ(one.lesson(), other.lesson());
    }
    one.learn(lessons);
    other.learn(lessons);
  }
}

// Both orders of two conflicting accesses each: an exhaustive search tells them all.
TEST(SystematicTest, TriesEveryOrderOfTwoPreemptions) {
  const ToyProgram program{{{{Kind::store, 0, 1}, {Kind::store, 0, 2}}}, {0, 0}};
  Systematic strategy(1);
  std::set<std::vector<std::pair<TaskId, uint64_t>>> orders;
  std::vector<std::string> lessons;
  uint64_t runs = 0;
  while (strategy.finished().empty() && runs < 10'000) {
    orders.insert(run_toy(program, strategy, runs++).accesses);
    lessons.push_back(strategy.lesson());
    if (lessons.size() == strategy.round()) strategy.learn(std::exchange(lessons, {}));
  }
  EXPECT_EQ(orders.size(), 6u);
  EXPECT_THAT(strategy.finished(), testing::HasSubstr("at most 3 preemptions"));
}

TEST(SystematicTest, SleepSetsLeaveOutWhatDoesNotConflict) {
  // Four accesses each to variables of their own, and one to a common one.
  ToyProgram program{{{}, {}}, {0, 1}};
  for (uint32_t task : {0u, 1u}) {
    for (uint32_t i = 0; i < 4; ++i) program.functions[task].push_back({Kind::store, 10 + task, 1});
    program.functions[task].push_back({Kind::store, kShared, 1});
  }
  Systematic strategy(1);
  std::vector<std::string> lessons;
  uint64_t schedules = 0, runs = 0;
  while (strategy.finished().empty() && runs < 10'000) {
    run_toy(program, strategy, runs++);
    lessons.push_back(strategy.lesson());
    schedules += !lessons.back().empty();
    if (lessons.size() == strategy.round()) strategy.learn(std::exchange(lessons, {}));
  }
  EXPECT_FALSE(strategy.finished().empty());
  // All interleavings of at most three preemptions are more than a hundred.
  EXPECT_LT(schedules, 80u);
}

TEST(SurwTest, IsUniformOnceItKnowsTheCounts) {
  // One task with one access, one with five: six orders.
  const ToyProgram program{{{{Kind::store, 0, 1}},
                            {{Kind::store, 0, 2},
                             {Kind::store, 0, 2},
                             {Kind::store, 0, 2},
                             {Kind::store, 0, 2},
                             {Kind::store, 0, 2}}},
                           {0, 1}};
  Surw strategy(1);
  std::vector<std::string> lessons;
  std::map<std::vector<std::pair<TaskId, uint64_t>>, uint64_t> orders;
  constexpr uint64_t kRuns = 6000;
  for (uint64_t run = 0; run < kRuns; ++run) {
    ++orders[run_toy(program, strategy, run).accesses];
    lessons.push_back(strategy.lesson());
    if (run == 63) strategy.learn(std::exchange(lessons, {}));
  }
  ASSERT_EQ(orders.size(), 6u);
  for (const auto& [order, times] : orders) EXPECT_NEAR(double(times), kRuns / 6.0, kRuns / 30.0);
}

TEST(PortfolioTest, MembersLearnFromTheirOwnRuns) {
  std::vector<std::unique_ptr<Strategy>> members;
  members.push_back(std::make_unique<Pos>(1));
  members.push_back(std::make_unique<Systematic>(1));
  Portfolio portfolio(std::move(members), 0);
  EXPECT_GT(portfolio.round(), 0u);
  EXPECT_GT(runs_until(toy::check_then_use(4), toy::changed_between, portfolio, 1000), 0u);
}

TEST(StrategiesTest, AreMadeByName) {
  for (const auto& name : strategy_names()) {
    const auto strategy = make_strategy(name, 1, {Target{}}, {}, {SignalTarget{}});
    strategy->begin(0);
    const std::string expected = name == "portfolio" ? "race-directed" : name;
    EXPECT_EQ(strategy->name(), expected);
  }
  EXPECT_THROW(make_strategy("none", 1, {}, {}), std::invalid_argument);
  EXPECT_THROW(make_strategy("race-directed", 1, {}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace heddle
