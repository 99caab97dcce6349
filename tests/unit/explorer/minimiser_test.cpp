#include "explorer/minimiser.h"

#include <gmock/gmock.h>

#include <set>

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A step that is told by its ticks.
ScheduleStep step(Ticks ticks, TaskId task = 1, TaskId next = 2) {
  return {{task, ticks, 0x1000, 0}, next, 0};
}

Schedule steps(std::initializer_list<Ticks> ticks) {
  Schedule schedule;
  for (const Ticks t : ticks) schedule.steps.push_back(step(t));
  return schedule;
}

Schedule first(size_t count) {
  Schedule schedule;
  for (Ticks t = 1; t <= count; ++t) schedule.steps.push_back(step(t));
  return schedule;
}

std::vector<Ticks> ticks_of(const Schedule& schedule) {
  std::vector<Ticks> all;
  for (const auto& s : schedule.steps) all.push_back(s.at.ticks);
  return all;
}

// Every schedule that fails does so with all of its steps.
Minimised reduced(const Schedule& schedule, const std::function<bool(const Schedule&)>& fails,
                  const MinimiserOptions& options = {}) {
  return minimise(
      schedule, [&](const Schedule& s) { return fails(s) ? std::optional(s) : std::nullopt; },
      options);
}

// All ticks before the step's.
std::vector<Place> places_before(const Schedule& schedule, size_t index) {
  const ScheduleStep& s = schedule.steps[index];
  std::vector<Place> places;
  for (Ticks t = 0; t < s.at.ticks; ++t) places.push_back({s.at.task, t, 0x1000, 0});
  return places;
}

// Fails where all of `needed` are there.
std::function<bool(const Schedule&)> needs(std::set<Ticks> needed) {
  return [needed](const Schedule& schedule) {
    const auto all = ticks_of(schedule);
    return std::ranges::all_of(needed, [&](Ticks t) { return std::ranges::count(all, t) > 0; });
  };
}

TEST(MinimiserTest, FindsTheOneStepThatIsNeeded) {
  for (Ticks needed = 1; needed <= 33; ++needed) {
    const Minimised result = reduced(first(33), needs({needed}));
    EXPECT_THAT(ticks_of(result.schedule), ElementsAre(needed));
    EXPECT_TRUE(result.complete);
    EXPECT_LT(result.trials, 40u);
  }
}

TEST(MinimiserTest, FindsStepsThatAreFarApart) {
  const Minimised result = reduced(first(64), needs({3, 31, 64}));
  EXPECT_THAT(ticks_of(result.schedule), ElementsAre(3, 31, 64));
  EXPECT_TRUE(result.complete);
}

TEST(MinimiserTest, KeepsTheOrder) {
  const Schedule schedule = steps({9, 2, 7, 4, 5});
  EXPECT_THAT(ticks_of(reduced(schedule, needs({2, 5, 7})).schedule), ElementsAre(2, 7, 5));
}

TEST(MinimiserTest, AFailureThatNeedsNothingIsEmpty) {
  const Minimised result = reduced(first(10), needs({}));
  EXPECT_THAT(result.schedule.steps, IsEmpty());
  EXPECT_EQ(result.trials, 1u);
  EXPECT_TRUE(result.complete);
  EXPECT_FALSE(result.preempts);
  EXPECT_FALSE(result.resumes);
}

TEST(MinimiserTest, AnEmptyScheduleIsLeftAlone) {
  const Minimised result = reduced({}, [](const Schedule&) -> bool {
    ADD_FAILURE() << "nothing can be left out";
    return true;
  });
  EXPECT_EQ(result.trials, 0u);
  EXPECT_TRUE(result.complete);
}

TEST(MinimiserTest, WhatNeedsEveryStepKeepsThem) {
  const Minimised result = reduced(first(7), needs({1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(result.schedule, first(7));
  EXPECT_TRUE(result.complete);
}

TEST(MinimiserTest, NoSingleStepOfTheResultCanGo) {
  // Fails with an odd number of steps, of which one is among the first five.
  const auto fails = [](const Schedule& schedule) {
    const auto all = ticks_of(schedule);
    return all.size() % 2 == 1 && std::ranges::any_of(all, [](Ticks t) { return t <= 5; });
  };
  const Minimised result = reduced(first(31), fails);
  EXPECT_TRUE(fails(result.schedule));
  for (size_t gone = 0; gone < result.schedule.steps.size(); ++gone) {
    Schedule fewer = result.schedule;
    fewer.steps.erase(fewer.steps.begin() + static_cast<std::ptrdiff_t>(gone));
    EXPECT_FALSE(fails(fewer));
  }
}

TEST(MinimiserTest, AsksAboutEachScheduleOnce) {
  std::set<std::string> asked;
  const auto fails = [&](const Schedule& schedule) {
    EXPECT_TRUE(asked.insert(schedule.text()).second) << schedule.text();
    return needs({4, 11, 12})(schedule);
  };
  const Minimised result = reduced(first(16), fails);
  EXPECT_EQ(result.trials, asked.size());
  EXPECT_FALSE(asked.contains(first(16).text())) << "that it fails is known";
}

TEST(MinimiserTest, KeepsToTheTrialsAndSaysSo) {
  MinimiserOptions options;
  options.most_trials = 5;
  uint64_t asked = 0;
  const Minimised result = reduced(
      first(64),
      [&](const Schedule& schedule) {
        ++asked;
        return needs({3, 31, 64})(schedule);
      },
      options);
  EXPECT_EQ(asked, 5u);
  EXPECT_EQ(result.trials, 5u);
  EXPECT_FALSE(result.complete);
  EXPECT_TRUE(needs({3, 31, 64})(result.schedule));
}

TEST(MinimiserTest, TriesSimpleSchedulesFirst) {
  MinimiserOptions options;
  options.simple = {steps({100}), steps({200}), steps({300})};
  std::vector<std::string> asked;
  const Minimised result = reduced(
      first(64),
      [&](const Schedule& schedule) {
        asked.push_back(schedule.text());
        return schedule == steps({200});
      },
      options);
  EXPECT_THAT(ticks_of(result.schedule), ElementsAre(200));
  EXPECT_EQ(asked.at(0), steps({100}).text());
  EXPECT_EQ(asked.at(1), steps({200}).text());
  EXPECT_FALSE(std::ranges::count(asked, steps({300}).text())) << "one is enough";
}

TEST(MinimiserTest, ASimpleScheduleThatIsNoShorterIsNotTried) {
  MinimiserOptions options;
  options.simple = {steps({100, 200})};
  const Minimised result = reduced(
      steps({1, 2}),
      [](const Schedule& schedule) {
        EXPECT_NE(schedule, steps({100, 200}));
        return false;
      },
      options);
  EXPECT_EQ(result.schedule, steps({1, 2}));
}

TEST(MinimiserTest, DropsSignalsThatAreNotNeeded) {
  Schedule schedule = first(4);
  schedule.steps[1].signal = 10;
  schedule.steps[2].signal = 12;
  const auto fails = [](const Schedule& s) {
    return std::ranges::any_of(s.steps, [](const auto& x) { return x.signal == 12; }) &&
           needs({2})(s);
  };
  const Minimised result = reduced(schedule, fails);
  EXPECT_THAT(ticks_of(result.schedule), ElementsAre(2, 3));
  EXPECT_EQ(result.schedule.steps[0].signal, 0);
  EXPECT_EQ(result.schedule.steps[1].signal, 12);
}

TEST(MinimiserTest, ManyStepsThatEachPutATaskOffBecomeOne) {
  Schedule schedule;
  for (Ticks t = 1; t <= 100; ++t) schedule.steps.push_back(step(t, 2, t == 100 ? 5 : 2));
  // Whoever is put off may be so once and for all: who goes on then is what matters.
  const auto fails = [](const Schedule& tried) {
    return !tried.steps.empty() && tried.steps.front().at.ticks == 1 &&
           tried.steps.back().next == 5;
  };
  const Minimised result = reduced(schedule, fails);
  EXPECT_THAT(result.schedule.steps, ElementsAre(step(1, 2, 5)));
}

TEST(MinimiserTest, DropsFaultsThatAreNotNeeded) {
  Schedule schedule = steps({1, 2});
  schedule.steps[0].fault = schedule.steps[1].fault = {FaultKind::interrupted, 0};
  const auto fails = [](const Schedule& tried) {
    return tried.steps.size() == 2 && tried.steps[1].fault.kind == FaultKind::interrupted;
  };
  const Minimised result = reduced(schedule, fails);
  ASSERT_EQ(result.schedule.steps.size(), 2u);
  EXPECT_EQ(result.schedule.steps[0].fault.kind, FaultKind::none);
  EXPECT_EQ(result.schedule.steps[1].fault.kind, FaultKind::interrupted);
}

TEST(MinimiserTest, MovesStepsToTheEarliestPlaceThatStillFails) {
  MinimiserOptions options;
  options.earlier_places = places_before;
  const auto fails = [](const Schedule& s) {
    return s.steps.size() == 1 && s.steps[0].at.ticks >= 17;
  };
  const Minimised result = reduced(steps({90}), fails, options);
  EXPECT_THAT(ticks_of(result.schedule), ElementsAre(17));
  EXPECT_TRUE(result.complete);
  EXPECT_LT(result.trials, 12u);
}

TEST(MinimiserTest, FewestStepsComeBeforeEarliest) {
  MinimiserOptions options;
  options.earlier_places = places_before;
  // Two steps could come as early as they like; one is enough where it comes late.
  const auto fails = [](const Schedule& s) {
    return s.steps.size() > 1 || (s.steps.size() == 1 && s.steps[0].at.ticks >= 40);
  };
  EXPECT_THAT(ticks_of(reduced(steps({50, 90}), fails, options).schedule), ElementsAre(40));
}

TEST(MinimiserTest, EachStepIsMovedByItself) {
  MinimiserOptions options;
  options.earlier_places = places_before;
  const auto fails = [](const Schedule& s) {
    return s.steps.size() == 2 && s.steps[0].at.ticks >= 3 && s.steps[1].at.ticks >= 71;
  };
  EXPECT_THAT(ticks_of(reduced(steps({50, 90}), fails, options).schedule), ElementsAre(3, 71));
}

TEST(MinimiserTest, OneStepThatHoldsItsTaskBackReplacesThoseThatLetOthersGoOn) {
  // Task 1 is stopped, then task 2 goes on again and again, until task 1 is named.
  Schedule schedule;
  schedule.steps.push_back(step(7, 1, 2));
  for (Ticks t = 1; t <= 50; ++t) schedule.steps.push_back(step(t, 2, t == 50 ? 1 : 2));
  const auto fails = [&](const Schedule& s) {
    if (s.steps.empty() || s.steps[0].at != step(7).at) return false;
    return s.steps[0].holds || s.steps.size() == 51;
  };
  const Minimised result = reduced(schedule, fails);
  ScheduleStep held = step(7, 1, 2);
  held.holds = true;
  EXPECT_THAT(result.schedule.steps, ElementsAre(held));
  EXPECT_LT(result.trials, 300u);
}

TEST(MinimiserTest, ATaskThatAgainAndAgainDoesNotGiveWayDoesSoOnce) {
  Schedule schedule;
  for (Ticks t = 1; t <= 100; ++t) schedule.steps.push_back(step(t, 1, 1));
  schedule.steps.push_back(step(101, 1, 2));
  const auto fails = [&](const Schedule& s) {
    if (s.steps.empty() || s.steps.back() != step(101, 1, 2)) return false;
    return s == schedule || (s.steps.front().holds && s.steps.front().at.ticks == 1);
  };
  const Minimised result = reduced(schedule, fails);
  ScheduleStep held = step(1, 1, 1);
  held.holds = true;
  EXPECT_THAT(result.schedule.steps, ElementsAre(held, step(101, 1, 2)));
}

TEST(MinimiserTest, AHoldThatIsNotNeededGoes) {
  Schedule schedule = steps({5});
  schedule.steps[0].holds = true;
  EXPECT_EQ(reduced(schedule, needs({5})).schedule, steps({5}));
}

TEST(MinimiserTest, WhatIsLeftOfAScheduleThatDoesNotFitIsTaken) {
  // Without its second step the third one comes later.
  const Schedule left = steps({1, 33});
  const Minimised result = minimise(steps({1, 2, 30}), [&](const Schedule& s) {
    return s == steps({1, 30}) || s == left ? std::optional(left) : std::nullopt;
  });
  EXPECT_EQ(result.schedule, left);
}

TEST(MinimiserTest, WhatIsMadeOfAScheduleIsTakenOnlyIfItIsShorter) {
  MinimiserOptions options;
  options.earlier_places = places_before;
  const Minimised result = minimise(
      steps({90}), [](const Schedule&) { return std::optional(steps({100})); }, options);
  EXPECT_EQ(result.schedule, steps({90}));
}

TEST(MinimiserTest, ExceptionsPassThrough) {
  EXPECT_THROW(reduced(first(3), [](const Schedule&) -> bool { throw std::runtime_error("no"); }),
               std::runtime_error);
}

// The steps that decide.
Minimised kept(std::vector<ScheduleStep> all) {
  Schedule schedule;
  schedule.steps = std::move(all);
  return reduced(schedule, [](const Schedule&) { return false; });
}

TEST(DecidingSteps, AreThePreemptionAndTheReturn) {
  const Minimised result = kept({step(10, 1, 2), step(20, 2, 1)});
  EXPECT_EQ(result.preempts, 0u);
  EXPECT_EQ(result.resumes, 1u);
}

TEST(DecidingSteps, AreTheLastSuchPair) {
  const Minimised result =
      kept({step(10, 1, 2), step(20, 2, 1), step(30, 1, 3), step(5, 3, 2), step(40, 2, 1)});
  EXPECT_EQ(result.preempts, 2u);
  EXPECT_EQ(result.resumes, 4u);
}

TEST(DecidingSteps, ATaskThatWaitsInACallIsNotTakenAway) {
  ScheduleStep waits = step(30, 1, 2);
  waits.at.phase = 2;
  const Minimised result = kept({step(10, 1, 2), step(20, 2, 1), waits, step(40, 2, 1)});
  EXPECT_EQ(result.preempts, 1u);
  EXPECT_EQ(result.resumes, 2u);
}

TEST(DecidingSteps, APreemptionThatNothingGivesBackStandsAlone) {
  const Minimised result = kept({step(10, 1, 2)});
  EXPECT_EQ(result.preempts, 0u);
  EXPECT_FALSE(result.resumes);
}

TEST(DecidingSteps, WithoutAPreemptionTheFirstStepDecides) {
  ScheduleStep one = step(10, 1, 3), two = step(20, 3, 2);
  one.at.phase = two.at.phase = 2;
  const Minimised result = kept({one, two});
  EXPECT_EQ(result.preempts, 0u);
  EXPECT_FALSE(result.resumes);
}

}  // namespace
}  // namespace heddle
