#include "explorer/strategies/pct.h"

#include <gtest/gtest.h>

#include "tests/unit/explorer/strategies/toy_programs.h"

namespace heddle {
namespace {

using toy::kFlag;
using toy::Kind;
using toy::kShared;

// Among `seeds` first runs, how many make `program` fail?
uint64_t found(const ToyProgram& program, bool (*fails)(const ToyOutcome&),
               const Pct::Options& options, uint64_t seeds) {
  uint64_t count = 0;
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    Pct pct(seed, options);
    count += fails(run_toy(program, pct, 0));
  }
  return count;
}

TEST(PctTest, WithoutChangesTasksRunOneAfterTheOther) {
  Pct::Options options;
  options.depth = 1;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Pct pct(seed, options);
    const ToyOutcome outcome = run_toy(toy::check_then_use(3), pct, 0);
    uint64_t switches = 0;
    for (size_t i = 1; i < outcome.accesses.size(); ++i)
      switches += outcome.accesses[i].first != outcome.accesses[i - 1].first;
    EXPECT_EQ(switches, 1u);
  }
}

TEST(PctTest, DepthOneFindsWhatOnlyNeedsAnOrder) {
  // Task 1 uses what task 2 makes.
  const ToyProgram program{{{{Kind::load, kShared, 0}, {Kind::store, 2, 0}},
                            {{Kind::work, 0, 10}, {Kind::store, kShared, 1}}},
                           {0, 1}};
  const auto too_early = +[](const ToyOutcome& outcome) { return outcome.variables.at(2) == 0; };
  Pct::Options options;
  options.depth = 1;
  const uint64_t early = found(program, too_early, options, 400);
  EXPECT_GT(early, 150u);
  EXPECT_LT(early, 250u);
}

// The paper's bound: n tasks, k steps, depth 2.
TEST(PctTest, FindsADepthTwoBugAsOftenAsProvenByAccesses) {
  constexpr uint64_t kAround = 7, kSeeds = 4000;
  Pct::Options options;
  options.depth = 2;
  options.accesses = 4 * kAround + 6;
  options.ticks = 1;
  // Half of the changes are drawn from the ticks.
  const double bound = static_cast<double>(kSeeds) / (2.0 * 2.0 * double(options.accesses));
  EXPECT_GE(static_cast<double>(
                found(toy::check_then_use(kAround), toy::changed_between, options, kSeeds)),
            bound);
}

TEST(PctTest, FindsADepthTwoBugAsOftenAsProvenByTicks) {
  constexpr uint64_t kSeeds = 4000;
  // Between check and use lies one tick.
  const ToyProgram program{{{{Kind::work, 0, 20},
                             {Kind::load, kShared, 0},
                             {Kind::store, 2, 0},
                             {Kind::work, 0, 1},
                             {Kind::load, kShared, 0},
                             {Kind::store, 3, 0},
                             {Kind::work, 0, 20}},
                            {{Kind::work, 0, 20}, {Kind::store, kShared, 1}, {Kind::work, 0, 20}}},
                           {0, 1}};
  Pct::Options options;
  options.depth = 2;
  options.ticks = 81;
  const double bound = static_cast<double>(kSeeds) / (2.0 * double(options.ticks));
  EXPECT_GE(static_cast<double>(found(program, toy::changed_between, options, kSeeds)), bound);
}

TEST(PctTest, CountsTicksFromItsFirstDecision) {
  // As above, behind a long prefix that every run shares.
  class Shifted final : public Strategy {
   public:
    explicit Shifted(Pct& pct) : pct_(pct) {}
    void begin(uint64_t run) override { pct_.begin(run); }
    Decision decide(const Situation& situation) override {
      Situation later = situation;
      if (later.at.task == 1) later.at.ticks += 1'000'000;
      return pct_.decide(later);
    }
    std::string name() const override { return "shifted"; }
    std::string describe() const override { return "shifted"; }

   private:
    Pct& pct_;
  };
  const ToyProgram program{{{{Kind::work, 0, 50}}}, {0, 0}};
  Pct::Options options;
  options.depth = 2;
  options.ticks = 100;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Pct plain(seed, options), pct(seed, options);
    Shifted shifted(pct);
    const ToyOutcome one = run_toy(program, plain, 0), other = run_toy(program, shifted, 0);
    EXPECT_EQ(one.schedule, other.schedule);
  }
}

TEST(PctTest, ATaskThatSpinsGivesWay) {
  const ToyProgram program{{{{Kind::spin_until, kFlag, 0}}, {{Kind::store, kFlag, 1}}}, {0, 1}};
  Pct::Options options;
  options.longest_turn = 100;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Pct pct(seed, options);
    EXPECT_EQ(run_toy(program, pct, 0).end, ToyOutcome::End::finished);
  }
}

TEST(PctTest, SoDoesATaskThatRepeatsASystemCall) {
  // sched_yield() until the flag is set.
  const ToyProgram program{{{{Kind::call, 0, 0}, {Kind::load, kFlag, 0}, {Kind::go_back, 0, 0}},
                            {{Kind::store, kFlag, 1}}},
                           {0, 1}};
  Pct::Options options;
  options.depth = 1;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Pct pct(seed, options);
    const ToyOutcome outcome = run_toy(program, pct, 0);
    EXPECT_EQ(outcome.end, ToyOutcome::End::finished);
    EXPECT_LT(outcome.steps.size(), 100u);
  }
}

TEST(PctTest, SaysWhatItDoes) {
  Pct::Options options;
  options.depth = 4;
  Pct pct(9, options);
  pct.begin(12);
  EXPECT_EQ(pct.name(), "pct");
  EXPECT_EQ(pct.describe(), "pct depth 4 seed 9 run 12");
}

}  // namespace
}  // namespace heddle
