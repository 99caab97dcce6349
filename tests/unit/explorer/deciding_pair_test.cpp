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

// What a run comes to, by its schedule's text.
std::vector<std::string> tried(const RunOutcome& failing, const DecidingPair& pair,
                               const std::string& passes) {
  std::vector<std::string> texts;
  for (const SwappedRun& run : swap(failing, pair, [&](const Schedule& schedule) {
         RunOutcome outcome;
         outcome.verdict = schedule.text() == passes ? Verdict::same : Verdict::changed;
         return outcome;
       }))
    texts.push_back(run.schedule.text() + (run.verdict == Verdict::same ? " passes" : ""));
  return texts;
}

TEST(DecidingPairTest, TheHeldAccessIsMadeBeforeTheStep) {
  RunOutcome failing;
  failing.schedule = Schedule::parse("1@5:40.1>2,2@9:60>1");
  failing.points = {point(1, 5, 0x40, 1), point(2, 7, 0x50)};
  EXPECT_THAT(tried(failing, {0, 1, 0}, "1@5:43>2,2@9:60>1"),
              ElementsAre("1@5:43>2,2@9:60>1 passes"));
}

TEST(DecidingPairTest, WithoutTheStepsBehindItThenWithoutItself) {
  RunOutcome failing;
  failing.schedule = Schedule::parse("1@5:40>2,2@9:60>1");
  failing.points = {point(1, 5, 0x40), point(2, 7, 0x50)};
  EXPECT_THAT(tried(failing, {0, 1, 0}, "-"),
              ElementsAre("1@5:43>2,2@9:60>1", "1@5:43>2", "2@9:60>1", "- passes"));
}

TEST(DecidingPairTest, TheFirstOneWaitsForTheSecond) {
  RunOutcome failing;
  failing.schedule = Schedule::parse("1@2:30>2,2@4:33>1,1@9:60>3");
  failing.points = {point(1, 1, 0x20), point(1, 5, 0x40), point(2, 7, 0x50)};
  failing.points_before_step = {1, 1, 3};
  EXPECT_THAT(tried(failing, {1, 2, {}}, "1@2:30>2,2@4:33>1,1@5:40>2,2@7:53>1"),
              ElementsAre("1@2:30>2,2@4:33>1,1@5:40>2,2@7:53>1,1@9:60>3",
                          "1@2:30>2,2@4:33>1,1@5:40>2,2@7:53>1 passes"));
}

TEST(DecidingPairTest, NoneMayPass) {
  RunOutcome failing;
  failing.schedule = Schedule::parse("1@5:40>2");
  failing.points = {point(1, 5, 0x40), point(2, 7, 0x50)};
  EXPECT_THAT(tried(failing, {0, 1, 0}, "never"), ElementsAre("1@5:43>2", "-"));
}

}  // namespace
}  // namespace heddle
