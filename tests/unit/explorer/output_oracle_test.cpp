// What a run that ended by itself means.
#include "explorer/output_oracle.h"

#include <gtest/gtest.h>

namespace heddle {
namespace {

RunOutcome ended(std::string output, int status = 0, std::string error = {}) {
  RunOutcome outcome;
  outcome.output = std::move(output);
  outcome.error = std::move(error);
  outcome.status = status;
  return outcome;
}

const VaryingLines kNone;

Verdict verdict(OutputOracle oracle, RunOutcome outcome) {
  oracle.judge(outcome);
  return outcome.verdict;
}

TEST(OutputOracleTest, ComparesWithTheRecordedRun) {
  const OutputOracle oracle(0, "1\n", "", kNone, {});
  EXPECT_EQ(verdict(oracle, ended("1\n")), Verdict::same);
  EXPECT_EQ(verdict(oracle, ended("2\n")), Verdict::changed);
  EXPECT_EQ(verdict(oracle, ended("1\n", 0, "x")), Verdict::changed);
  EXPECT_EQ(verdict(oracle, ended("1\n", 0x100)), Verdict::failed);
}

TEST(OutputOracleTest, AVerdictStands) {
  OutputOracle oracle(0, "", "", kNone, {});
  RunOutcome outcome = ended("other");
  outcome.verdict = Verdict::deadlock;
  oracle.judge(outcome);
  EXPECT_EQ(outcome.verdict, Verdict::deadlock);
}

TEST(OutputOracleTest, AFilterTakesOutWhatMayDiffer) {
  const OutputOracle oracle(0, "time 1\nsum 3\n", "", kNone, {"grep -v time", ""});
  EXPECT_EQ(verdict(oracle, ended("time 2\nsum 3\n")), Verdict::same);
  EXPECT_EQ(verdict(oracle, ended("time 1\nsum 4\n")), Verdict::changed);
  EXPECT_THROW(verdict(OutputOracle(0, "a", "", kNone, {"exit 127", ""}), ended("b")),
               std::runtime_error);
}

TEST(OutputOracleTest, ACommandOfTheUsersDecidesAlone) {
  const OracleCommands commands{"", "read a b && [ $a = $b ] && [ $HEDDLE_STATUS -le 134 ]"};
  const OutputOracle oracle(0, "1 1\n", "", kNone, commands);
  EXPECT_EQ(verdict(oracle, ended("2 2\n")), Verdict::same);
  EXPECT_EQ(verdict(oracle, ended("2 3\n")), Verdict::failed);
  EXPECT_EQ(verdict(oracle, ended("2 2\n", 6)), Verdict::same);
  EXPECT_EQ(verdict(oracle, ended("2 2\n", 11)), Verdict::failed);
}

TEST(OutputOracleTest, TimesAreNotComparedInLinesThatShowThem) {
  const std::string recorded = "12:30:01 1 ready\nsum 3\nSat Nov 7 08:00 done\n1700000000 end\n";
  const std::string plain = "9:05:59 17 ready\nsum 4\nMon Jan 12 08:10 done\n1800000000 end\n";
  const VaryingLines varying = varying_lines(recorded, plain);
  EXPECT_EQ(varying, (VaryingLines{"#:#:# # ready", "# # # #:# done", "# end"}));
  const OutputOracle oracle(0, recorded, "", varying, {});
  EXPECT_EQ(verdict(oracle, ended("11:30:01 2 ready\nsum 3\nFri May 9 08:30 done\n1 end\n")),
            Verdict::same);
  // The result, the order and what else is said are.
  EXPECT_EQ(verdict(oracle, ended(plain)), Verdict::changed);
  EXPECT_EQ(verdict(oracle, ended("sum 3\n11:30:01 2 ready\nFri May 9 08:30 done\n1 end\n")),
            Verdict::changed);
  EXPECT_EQ(verdict(oracle, ended("11:30:01 2 steady\nsum 3\nFri May 9 08:30 done\n1 end\n")),
            Verdict::changed);
}

TEST(OutputOracleTest, WithoutThePlainRunTimesAreCompared) {
  EXPECT_EQ(varying_lines("12:30 a\n", "12:30 a\n"), VaryingLines{});
  EXPECT_EQ(verdict(OutputOracle(0, "12:30 a\n", "", kNone, {}), ended("12:31 a\n")),
            Verdict::changed);
}

TEST(OutputOracleTest, GoSaysWhyItDied) {
  OutputOracle oracle(0, "", "", kNone, {});
  RunOutcome outcome = ended("", 0x200, "x\nfatal error: concurrent map writes\n\ngoroutine 1\n");
  oracle.judge(outcome);
  EXPECT_EQ(outcome.reason,
            "the program ended with exit status 2: fatal error: concurrent map writes");
  EXPECT_EQ(go_failure("panic: runtime error\n"), "panic: runtime error");
  EXPECT_EQ(go_failure("nothing\n"), "");
}

}  // namespace
}  // namespace heddle
