// What is asked of every strategy.
#include <gtest/gtest.h>

#include <functional>

#include "explorer/strategies/delays.h"
#include "explorer/strategies/pct.h"
#include "explorer/strategies/portfolio.h"
#include "explorer/strategies/pos.h"
#include "explorer/strategies/race_directed.h"
#include "explorer/strategies/random_walk.h"
#include "explorer/strategies/reads_from.h"
#include "explorer/strategies/surw.h"
#include "explorer/strategies/systematic.h"
#include "tests/unit/explorer/strategies/toy_programs.h"

namespace heddle {
namespace {

using toy::kFlag;
using toy::kShared;

std::vector<Target> targets() {
  Target update;
  update.first_pc = update.second_pc = ToyProgram::pc(0, 5);
  update.first_updates = update.second_updates = true;
  Target other;
  other.first_pc = ToyProgram::pc(1, 6);
  other.second_pc = ToyProgram::pc(2, 2);
  other.first_updates = other.second_updates = true;
  return {update, other};
}

Pct::Options estimate(uint64_t accesses) {
  Pct::Options options;
  options.ticks = 2000;
  options.accesses = accesses;
  options.longest_turn = 2000;
  return options;
}

struct Family {
  std::string name;
  std::function<std::unique_ptr<Strategy>(uint64_t seed)> make;
};

std::vector<Family> families() {
  return {
      {"random", [](uint64_t seed) { return std::make_unique<RandomWalk>(seed); }},
      {"pct", [](uint64_t seed) { return std::make_unique<Pct>(seed, estimate(12)); }},
      {"pct_ticks", [](uint64_t seed) { return std::make_unique<Pct>(seed, estimate(0)); }},
      {"delays",
       [](uint64_t seed) { return std::make_unique<Delays>(seed, targets(), estimate(12)); }},
      {"race_directed",
       [](uint64_t seed) { return std::make_unique<RaceDirected>(seed, targets()); }},
      {"pos", [](uint64_t seed) { return std::make_unique<Pos>(seed, 2000); }},
      {"surw", [](uint64_t seed) { return std::make_unique<Surw>(seed); }},
      {"rff", [](uint64_t seed) { return std::make_unique<ReadsFrom>(seed, 2000); }},
      {"systematic", [](uint64_t seed) { return std::make_unique<Systematic>(seed, 2000); }},
      {"portfolio", [](uint64_t seed) { return make_portfolio(seed, targets(), estimate(12)); }},
      {"portfolio_without_targets",
       [](uint64_t seed) { return make_portfolio(seed, {}, estimate(0)); }},
  };
}

class EveryStrategy : public testing::TestWithParam<Family> {
 protected:
  std::unique_ptr<Strategy> make(uint64_t seed) const { return GetParam().make(seed); }
};

constexpr uint64_t kRuns = 40;

TEST_P(EveryStrategy, TheSameSeedMakesTheSameDecisions) {
  const auto one = make(7), other = make(7);
  for (uint64_t run = 0; run < kRuns; ++run) {
    EXPECT_EQ(run_toy(toy::mixed(), *one, run).steps, run_toy(toy::mixed(), *other, run).steps);
    EXPECT_EQ(one->describe(), other->describe());
  }
}

TEST_P(EveryStrategy, ARunDoesNotDependOnThoseBefore) {
  const auto in_order = make(7);
  std::vector<std::vector<ToyStep>> expected;
  for (uint64_t run = 0; run < kRuns; ++run)
    expected.push_back(run_toy(toy::mixed(), *in_order, run).steps);
  const auto backwards = make(7);
  for (uint64_t run = kRuns; run-- > 0;)
    EXPECT_EQ(run_toy(toy::mixed(), *backwards, run).steps, expected[run]) << "run " << run;
}

TEST_P(EveryStrategy, AnotherSeedMakesOthers) {
  const auto one = make(7), other = make(8);
  uint64_t different = 0;
  for (uint64_t run = 0; run < kRuns; ++run)
    different += run_toy(toy::mixed(), *one, run).steps != run_toy(toy::mixed(), *other, run).steps;
  EXPECT_GT(different, kRuns / 2);
}

TEST_P(EveryStrategy, RunsDiffer) {
  const auto strategy = make(7);
  const auto first = run_toy(toy::mixed(), *strategy, 0).steps;
  uint64_t different = 0;
  for (uint64_t run = 1; run < kRuns; ++run)
    different += run_toy(toy::mixed(), *strategy, run).steps != first;
  EXPECT_GT(different, kRuns / 2);
}

TEST_P(EveryStrategy, EveryRunEndsThoughATaskSpins) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const auto strategy = make(seed);
    for (uint64_t run = 0; run < kRuns; ++run) {
      const ToyOutcome outcome = run_toy(toy::mixed(), *strategy, run);
      ASSERT_EQ(outcome.end, ToyOutcome::End::finished)
          << strategy->describe() << " after " << outcome.steps.size() << " decisions";
      ASSERT_NE(outcome.variables.at(kFlag), 0u);
    }
  }
}

TEST_P(EveryStrategy, EveryRunEndsThoughATaskSpinsAtAnAccessPoint) {
  using toy::Kind;
  const std::vector<ToyOperation> setter = {{Kind::work, 0, 100}, {Kind::store, kFlag, 1}};
  const std::vector<ToyOperation> plain = {{Kind::load, kFlag, 0}, {Kind::go_back, 0, 0}};
  const std::vector<ToyOperation> yields = {
      {Kind::load, kFlag, 0}, {Kind::call, 0, 0}, {Kind::go_back, 0, 0}};
  const std::vector<ToyOperation> two_flags = {
      {Kind::load, kShared, 0}, {Kind::load, kFlag, 0}, {Kind::go_back, 0, 0}};
  for (const auto& spinner : {plain, yields, two_flags}) {
    const ToyProgram program{{spinner, setter}, {0, 0, 1}};
    for (uint64_t seed = 0; seed < 4; ++seed) {
      const auto strategy = make(seed);
      for (uint64_t run = 0; run < kRuns; ++run) {
        const ToyOutcome outcome = run_toy(program, *strategy, run);
        ASSERT_EQ(outcome.end, ToyOutcome::End::finished) << strategy->describe();
        ASSERT_LT(outcome.steps.size(), 2000u) << strategy->describe();
      }
    }
  }
}

TEST_P(EveryStrategy, TimeJumpsOnlyOverTasksThatAreHeldBack) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const auto strategy = make(seed);
    for (uint64_t run = 0; run < kRuns; ++run) {
      const ToyOutcome outcome = run_toy(toy::mixed(), *strategy, run);
      for (const ToyStep& step : outcome.steps) {
        if (!step.jumped) continue;
        // Only who holds a task lets time pass for it, with no second one to run instead.
        EXPECT_EQ(strategy->name(), "race-directed") << strategy->describe();
        EXPECT_EQ(step.ready, 1u) << strategy->describe();
      }
    }
  }
}

TEST_P(EveryStrategy, FindsALostUpdate) {
  Target target;
  target.first_pc = target.second_pc = ToyProgram::pc(0, 1);
  target.first_updates = target.second_updates = true;
  uint64_t found = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::unique_ptr<Strategy> strategy;
    if (GetParam().name == "race_directed")
      strategy = std::make_unique<RaceDirected>(seed, std::vector{target});
    else if (GetParam().name == "portfolio")
      strategy = make_portfolio(seed, {target}, estimate(4));
    else
      strategy = make(seed);
    for (uint64_t run = 0; run < 50; ++run)
      found += toy::lost(run_toy(toy::lost_update(), *strategy, run));
  }
  // With ticks only, PCT cannot stop between the halves: no tick lies there.
  if (GetParam().name == "pct_ticks")
    EXPECT_EQ(found, 0u);
  else
    EXPECT_GT(found, 20u);
}

INSTANTIATE_TEST_SUITE_P(Families, EveryStrategy, testing::ValuesIn(families()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace heddle
