// Suppression files.
#include "explorer/suppressions.h"

#include <gmock/gmock.h>

namespace heddle {
namespace {

using testing::HasSubstr;

StackFrame frame(const std::string& function, const std::string& file = {},
                 const std::string& module = {}) {
  return {0, function, file, 0, module};
}

bool suppressed(const std::string& rules, Suppressions::Of of,
                const std::vector<std::vector<StackFrame>>& stacks) {
  return Suppressions::parse(rules, "rules").match(of, stacks);
}

TEST(Suppressions, APatternIsAPartOfAName) {
  EXPECT_TRUE(suppression_pattern_matches("ount", "counter"));
  EXPECT_FALSE(suppression_pattern_matches("^ount", "counter"));
  EXPECT_TRUE(suppression_pattern_matches("^count", "counter"));
  EXPECT_FALSE(suppression_pattern_matches("count$", "counter"));
  EXPECT_TRUE(suppression_pattern_matches("^c*t*r$", "counter"));
  EXPECT_TRUE(suppression_pattern_matches("*", "counter"));
  EXPECT_FALSE(suppression_pattern_matches("*", ""));
}

TEST(Suppressions, ARaceMatchesByAnyFrameOfEitherSide) {
  const std::vector<std::vector<StackFrame>> stacks = {
      {frame("add", "counter.c"), frame("main")},
      {frame("memcpy", "", "/lib/libc.so.6"), frame("worker")}};
  for (const auto* rule : {"race:add", "race:counter.c", "race:worker", "race:libc.so",
                           "race_top:memcpy", "called_from_lib:libc.so"})
    EXPECT_TRUE(suppressed(rule, Suppressions::Of::race, stacks)) << rule;
  for (const auto* rule :
       {"race:other", "race_top:worker", "called_from_lib:add", "deadlock:add", "signal:add"})
    EXPECT_FALSE(suppressed(rule, Suppressions::Of::race, stacks)) << rule;
}

TEST(Suppressions, SignalsAndDeadlocksHaveTypesOfTheirOwn) {
  EXPECT_TRUE(suppressed("signal:on_alarm", Suppressions::Of::signal, {{frame("on_alarm")}}));
  EXPECT_TRUE(suppressed("race:on_alarm", Suppressions::Of::signal, {{frame("on_alarm")}}));
  EXPECT_TRUE(suppressed("deadlock:lock", Suppressions::Of::deadlock, {{frame("lock_both")}}));
  EXPECT_FALSE(suppressed("race:lock", Suppressions::Of::deadlock, {{frame("lock_both")}}));
}

TEST(Suppressions, CommentsAndEmptyLinesAreNone) {
  EXPECT_TRUE(Suppressions::parse("# race:a\n\n  \n", "rules").empty());
}

TEST(Suppressions, AnErrorNamesTheLine) {
  const auto error = [](const std::string& rules) -> std::string {
    try {
      Suppressions::parse(rules, "rules");
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error("race:a\nraces:b\n"), HasSubstr("rules:2: 'races:b' is no suppression"));
  EXPECT_THAT(error("race:\n"), HasSubstr("rules:1: a pattern is missing"));
  EXPECT_THAT(error("race\n"), HasSubstr("rules:1: a pattern is missing"));
  EXPECT_THROW(Suppressions::read("/nonexistent/file"), std::runtime_error);
}

}  // namespace
}  // namespace heddle
