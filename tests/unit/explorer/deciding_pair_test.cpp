#include "explorer/deciding_pair.h"

#include <gmock/gmock.h>

namespace heddle {
namespace {

using testing::ElementsAre;

PassedPoint point(TaskId task, Ticks ticks, uint64_t pc, uint8_t phase = 0) {
  PassedPoint p;
  p.place = {task, ticks, pc, phase};
  p.length = 3;
  return p;
}

RunOutcome failing_run(const std::string& schedule, std::vector<PassedPoint> points) {
  RunOutcome run;
  run.schedule = Schedule::parse(schedule);
  run.points = std::move(points);
  return run;
}

// The points of a run that performs these two in this order.
std::vector<PassedPoint> performed(PassedPoint first, PassedPoint second) {
  first.performed = 1;
  second.performed = 2;
  return {first, second};
}

// What is tried, by its text. The pair is turned round, and the run passes, under `passes`.
std::vector<std::string> tried(const RunOutcome& failing, const DecidingPair& pair,
                               const std::string& passes) {
  const PassedPoint &held = failing.points[pair.held], &other = failing.points[pair.other];
  std::vector<std::string> texts;
  for (const SwappedRun& run : swap(failing, pair, [&](const Schedule& schedule) {
         RunOutcome outcome;
         outcome.verdict = schedule.text() == passes ? Verdict::same : Verdict::changed;
         const bool held_first = pair.step.has_value() == (outcome.verdict == Verdict::same);
         outcome.points = held_first ? performed(held, other) : performed(other, held);
         return outcome;
       }))
    texts.push_back(run.schedule.text() + (run.verdict == Verdict::same ? " passes" : "") +
                    (run.turned ? " turned" : ""));
  return texts;
}

TEST(DecidingPairTest, TheHeldAccessIsMadeBeforeTheStep) {
  const RunOutcome failing =
      failing_run("1@5:40.1>2,2@9:60>1", {point(1, 5, 0x40, 1), point(2, 7, 0x50)});
  EXPECT_THAT(tried(failing, {0, 1, 0}, "1@5:43>2,2@9:60>1"),
              ElementsAre("1@5:43>2,2@9:60>1 passes turned"));
}

TEST(DecidingPairTest, WithoutTheStepsBehindItThenWithoutItself) {
  const RunOutcome failing =
      failing_run("1@5:40>2,2@9:60>1", {point(1, 5, 0x40), point(2, 7, 0x50)});
  EXPECT_THAT(tried(failing, {0, 1, 0}, "-"),
              ElementsAre("1@5:43>2,2@9:60>1", "1@5:43>2", "2@9:60>1", "- passes turned"));
}

TEST(DecidingPairTest, TheFirstOneWaitsForTheSecond) {
  RunOutcome failing = failing_run("1@2:30>2,2@4:33>1,1@9:60>3",
                                   {point(1, 1, 0x20), point(1, 5, 0x40), point(2, 7, 0x50)});
  failing.points_before_step = {1, 1, 3};
  EXPECT_THAT(tried(failing, {1, 2, {}}, "1@2:30>2,2@4:33>1,1@5:40>2,2@7:53>1"),
              ElementsAre("1@2:30>2,2@4:33>1,1@5:40>2,2@7:53>1,1@9:60>3",
                          "1@2:30>2,2@4:33>1,1@5:40>2,2@7:53>1 passes turned"));
}

TEST(DecidingPairTest, TheStepBehindAnAccessComesInFrontOfIt) {
  RunOutcome failing = failing_run("1@6:43>>3", {point(1, 5, 0x40), point(2, 7, 0x50)});
  failing.points_before_step = {1};
  EXPECT_THAT(tried(failing, {0, 1, {}}, "1@5:40>>3,2@7:53>1"),
              ElementsAre("1@5:40>2,2@7:53>1,1@6:43>>3", "1@5:40>2,2@7:53>1", "1@5:40>2",
                          "1@5:40>>3,2@7:53>1 passes turned"));
}

TEST(DecidingPairTest, ATaskWaitsFromAnEarlierAccessOn) {
  RunOutcome failing =
      failing_run("1@9:60>2", {point(1, 3, 0x30), point(1, 5, 0x40), point(2, 7, 0x50)});
  failing.points[0].others = {3, 2};
  failing.points_before_step = {3};
  EXPECT_THAT(tried(failing, {1, 2, {}}, "1@3:30>>2"),
              testing::Contains("1@3:30>>2 passes turned"));
}

TEST(DecidingPairTest, GoroutinesOfOneThreadAreTurnedByLeavingStepsOut) {
  RunOutcome failing = failing_run("1@2:30>2", {point(1, 5, 0x40), point(1, 7, 0x50)});
  failing.points_before_step = {0};
  EXPECT_THAT(tried(failing, {0, 1, {}}, "-"), ElementsAre("- passes turned"));
}

TEST(DecidingPairTest, NoneMayPass) {
  const RunOutcome failing = failing_run("1@5:40>2", {point(1, 5, 0x40), point(2, 7, 0x50)});
  EXPECT_THAT(tried(failing, {0, 1, 0}, "never"), ElementsAre("1@5:43>2", "-"));
}

TEST(DecidingPairTest, WhatWasNeverPerformedDoesNotTurnThem) {
  const RunOutcome failing = failing_run("1@5:40>2", {point(1, 5, 0x40), point(2, 7, 0x50)});
  RunOutcome run;
  EXPECT_FALSE(turned(failing, {0, 1, 0}, run));
  run.points = {failing.points[0]};
  EXPECT_FALSE(turned(failing, {0, 1, 0}, run));
  // The second one need not come.
  run.points[0].performed = 1;
  EXPECT_TRUE(turned(failing, {0, 1, 0}, run));
  // A step behind the access tells that it was performed.
  RunOutcome behind = failing_run("1@5:43>2", {failing.points[1]});
  behind.points[0].performed = 1;
  behind.points_before_step = {0};
  EXPECT_TRUE(turned(failing, {0, 1, 0}, behind));
  behind.points_before_step = {1};
  EXPECT_FALSE(turned(failing, {0, 1, 0}, behind));
  // It is another execution that came first.
  run.points = performed(failing.points[1], failing.points[0]);
  EXPECT_FALSE(turned(failing, {0, 1, 0}, run));
}

}  // namespace
}  // namespace heddle
