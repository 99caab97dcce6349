// The random source, the random walk, the portfolio and following a schedule.
#include <gmock/gmock.h>

#include "explorer/strategies/follow_schedule.h"
#include "explorer/strategies/portfolio.h"
#include "explorer/strategies/random_walk.h"
#include "tests/unit/explorer/strategies/toy_programs.h"

namespace heddle {
namespace {

using toy::Kind;
using toy::kShared;

TEST(RandomSourceTest, IsTheSameForEver) {
  RandomSource source(1, 0);
  // Schedules are published with their seed: these numbers may not change.
  EXPECT_EQ(source.next(), 17405687883870564846u);
}

TEST(RandomSourceTest, StreamsOfRunsDiffer) {
  std::set<uint64_t> firsts;
  for (uint64_t run = 0; run < 1000; ++run) firsts.insert(RandomSource(1, run).next());
  EXPECT_EQ(firsts.size(), 1000u);
}

TEST(RandomSourceTest, GeometricHasItsMeanAndIsAtLeastOne) {
  RandomSource source(1, 0);
  double sum = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Ticks ticks = source.geometric(100);
    ASSERT_GE(ticks, 1u);
    sum += static_cast<double>(ticks);
  }
  EXPECT_NEAR(sum / 20'000, 100, 4);
}

TEST(RandomWalkTest, ReachesEveryInterleavingOfASmallProgram) {
  const ToyProgram program{{{{Kind::store, 0, 1}, {Kind::store, 0, 2}}}, {0, 0}};
  std::set<std::vector<std::pair<TaskId, uint64_t>>> orders;
  RandomWalk walk(1);
  for (uint64_t run = 0; run < 200; ++run) orders.insert(run_toy(program, walk, run).accesses);
  EXPECT_EQ(orders.size(), 6u);
}

TEST(RandomWalkTest, SaysWhatItDoes) {
  RandomWalk walk(9);
  walk.begin(3);
  EXPECT_EQ(walk.name(), "random");
  EXPECT_THAT(walk.describe(), testing::MatchesRegex("random mean [0-9]+ ticks seed 9 run 3"));
}

// Tells which runs it was asked for.
class Counting final : public Strategy {
 public:
  explicit Counting(std::string name) : name_(std::move(name)) {}
  void begin(uint64_t run) override { run_ = run; }
  Decision decide(const Situation& situation) override { return {situation.runnable.front()}; }
  std::string name() const override { return name_; }
  std::string describe() const override { return name_ + " " + std::to_string(run_); }

 private:
  std::string name_;
  uint64_t run_ = 0;
};

std::vector<std::string> turns(Portfolio& portfolio, uint64_t runs) {
  std::vector<std::string> all;
  for (uint64_t run = 0; run < runs; ++run) {
    portfolio.begin(run);
    all.push_back(portfolio.describe());
  }
  return all;
}

std::unique_ptr<Portfolio> counting_portfolio(uint64_t head,
                                              std::optional<size_t> beside = std::nullopt) {
  std::vector<std::unique_ptr<Strategy>> members;
  for (const char* name : {"a", "b", "c"}) members.push_back(std::make_unique<Counting>(name));
  return std::make_unique<Portfolio>(std::move(members), head, beside);
}

TEST(PortfolioTest, MembersAlternateBehindTheHeadAndCountWithoutGaps) {
  EXPECT_THAT(turns(*counting_portfolio(2), 9),
              testing::ElementsAre("a 0", "a 1", "a 2", "b 0", "c 0", "a 3", "b 1", "c 1", "a 4"));
  EXPECT_THAT(turns(*counting_portfolio(0), 4), testing::ElementsAre("a 0", "b 0", "c 0", "a 1"));
}

TEST(PortfolioTest, EveryThirdRunOfTheHeadIsOfTheMemberBesideIt) {
  EXPECT_THAT(turns(*counting_portfolio(5, 1), 11),
              testing::ElementsAre("a 0", "a 1", "b 0", "a 2", "a 3", "a 4", "b 1", "c 0", "a 5",
                                   "b 2", "c 1"));
}

TEST(PortfolioTest, NeedsAMember) {
  EXPECT_THROW(Portfolio({}, 0), std::invalid_argument);
}

TEST(PortfolioTest, TakesEachTargetInBothOrdersFirst) {
  Target target;
  target.first_pc = 1;
  target.second_pc = 2;
  const auto portfolio = make_portfolio(1, {target, target, target}, {});
  std::vector<std::string> names;
  for (uint64_t run = 0; run < 14; ++run) {
    portfolio->begin(run);
    names.push_back(portfolio->name());
  }
  EXPECT_THAT(names,
              testing::ElementsAre("race-directed", "race-directed", "delays", "race-directed",
                                   "race-directed", "delays", "race-directed", "race-directed",
                                   "delays", "race-directed", "delays", "pct", "pct", "random"));
}

TEST(FollowScheduleTest, DoesWhatAnotherStrategyDid) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RandomWalk walk(seed);
    const ToyOutcome found = run_toy(toy::mixed(), walk, 0);
    FollowSchedule follow(found.schedule);
    const ToyOutcome again = follow_toy(toy::mixed(), follow);
    EXPECT_EQ(again.end, ToyOutcome::End::finished);
    EXPECT_EQ(again.accesses, found.accesses) << found.schedule.text();
    EXPECT_EQ(again.schedule, found.schedule);
    EXPECT_FALSE(follow.diverged());
    EXPECT_EQ(follow.next_step(), nullptr);
  }
}

TEST(FollowScheduleTest, AnEmptyScheduleRunsTasksUntilTheyBlock) {
  FollowSchedule follow({});
  const ToyOutcome outcome = follow_toy(toy::check_then_use(2), follow);
  for (size_t i = 1; i < outcome.accesses.size(); ++i)
    EXPECT_GE(outcome.accesses[i].first, outcome.accesses[i - 1].first);
  EXPECT_FALSE(follow.diverged());
}

using Kind = ToyOperation::Kind;

// A task works and stores, twice; another one loads.
const ToyProgram kTwoStores{{{{Kind::work, 0, 100},
                              {Kind::store, 1, 1},
                              {Kind::work, 0, 100},
                              {Kind::store, 1, 1},
                              {Kind::work, 0, 10}},
                             {{Kind::load, 1, 0}, {Kind::work, 0, 10}}},
                            {0, 1}};

// The first task is stopped in front of its second store.
Schedule stopped_at_the_second_store() {
  FollowSchedule plain({});
  for (const ToyStep& step : follow_toy(kTwoStores, plain).steps)
    if (step.at.task == 1 && step.at.pc == ToyProgram::pc(0, 3)) return {{{step.at, 2}}};
  return {};
}

TEST(FollowScheduleTest, AStepIsTakenWhereItsTaskDoesTheSame) {
  Schedule schedule = stopped_at_the_second_store();
  ASSERT_EQ(schedule.steps.size(), 1u);
  FollowSchedule exact(schedule);
  const ToyOutcome expected = follow_toy(kTwoStores, exact);
  EXPECT_FALSE(exact.diverged());
  ASSERT_EQ(expected.schedule, schedule);
  // Elsewhere by a few ticks: what was done is told exactly.
  for (const Ticks earlier : {1, 2, 3}) {
    Schedule shifted = schedule;
    shifted.steps[0].at.ticks -= earlier;
    FollowSchedule follow(shifted);
    const ToyOutcome outcome = follow_toy(kTwoStores, follow);
    EXPECT_EQ(outcome.schedule, schedule) << earlier;
    EXPECT_TRUE(follow.diverged());
    EXPECT_EQ(follow.next_step(), nullptr);
  }
}

TEST(FollowScheduleTest, AStepIsLeftOutWhereTheNextOneIsDue) {
  Schedule schedule = stopped_at_the_second_store();
  ASSERT_EQ(schedule.steps.size(), 1u);
  Schedule with_another = schedule;
  with_another.steps.insert(with_another.steps.begin(), {{9, 0, 0xdead, 0}, 1});
  FollowSchedule follow(with_another);
  EXPECT_EQ(follow_toy(kTwoStores, follow).schedule, schedule);
  EXPECT_TRUE(follow.diverged());
  EXPECT_EQ(follow.next_step(), nullptr);
  // Another run of the same schedule begins anew.
  follow.begin(0);
  EXPECT_FALSE(follow.diverged());
  EXPECT_NE(follow.next_step(), nullptr);
}

TEST(FollowScheduleTest, ATaskThatCannotRunIsToldToo) {
  Schedule schedule;
  schedule.steps.push_back({{1, 0, ToyProgram::pc(0, 0), 0}, 9, 0});
  FollowSchedule follow(schedule);
  EXPECT_EQ(follow_toy(toy::lost_update(), follow).end, ToyOutcome::End::finished);
  EXPECT_TRUE(follow.diverged());
}

TEST(FollowScheduleTest, SaysWhatItDoes) {
  Schedule schedule;
  schedule.steps.push_back({{1, 5, 0x401000, 1}, 2, 0});
  EXPECT_EQ(FollowSchedule(schedule).describe(), "schedule 1@5:401000.1>2");
}

}  // namespace
}  // namespace heddle
