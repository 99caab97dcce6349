#include <gmock/gmock.h>

#include "explorer/report/exploration_text.h"
#include "explorer/report/finding_text.h"
#include "explorer/report/style.h"

namespace heddle::report {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(StyleTest, ControlCharactersAreEscaped) {
  EXPECT_EQ(printable("plain"), "plain");
  EXPECT_EQ(printable("a\x1b[31mb\x07"), "a\\x1b[31mb\\x07");
  EXPECT_EQ(printable("one\ntwo\tthree\r"), "one\\ntwo\\tthree\\x0d");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("caf\xc3\xa9"), "caf\xc3\xa9");
}

TEST(StyleTest, C1ControlCharactersAreEscapedToo) {
  // U+009B is CSI to a terminal that reads UTF-8, and the byte 9b to one that does not.
  EXPECT_EQ(printable("a\xc2\x9b"
                      "31m"),
            "a\\xc2\\x9b31m");
  EXPECT_EQ(printable("a\x9b"
                      "31m"),
            "a\\x9b31m");
  // The same bytes inside other characters pass.
  EXPECT_EQ(printable("\xe2\x80\x9b"), "\xe2\x80\x9b");
  EXPECT_EQ(printable("\xf0\x9f\x90\x9b"), "\xf0\x9f\x90\x9b");
}

TEST(StyleTest, WhatIsNoUtf8IsEscaped) {
  EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(printable("\xc3"), "\\xc3");
  EXPECT_EQ(printable("\xe2\x80"), "\\xe2\\x80");
  EXPECT_EQ(printable("\xc3(\xc3\xa9"), "\\xc3(\xc3\xa9");
  EXPECT_EQ(printable("\xc0\x80"), "\\xc0\\x80");  // an overlong NUL
}

TEST(StyleTest, ColourIsSwitchedOnAndOff) {
  EXPECT_EQ(Style(false)(Emphasis::bad, "text"), "text");
  for (const Emphasis emphasis :
       {Emphasis::heading, Emphasis::bad, Emphasis::good, Emphasis::name, Emphasis::dim})
    EXPECT_THAT(Style(true)(emphasis, "text"),
                testing::MatchesRegex("\x1b\\[[0-9;]+mtext\x1b\\[0m"));
}

TEST(StyleTest, NumbersAreGrouped) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(counted(1, "run"), "1 run");
  EXPECT_EQ(counted(0, "run"), "0 runs");
  EXPECT_EQ(counted(12345, "run"), "12,345 runs");
}

TEST(StyleTest, DurationsHaveTheUnitThatFits) {
  EXPECT_EQ(duration(0), "0 ms");
  EXPECT_EQ(duration(0.85), "850 ms");
  EXPECT_EQ(duration(0.9996), "1.0 s");
  EXPECT_EQ(duration(12.34), "12.3 s");
  EXPECT_EQ(duration(59.96), "1 min 0 s");
  EXPECT_EQ(duration(250), "4 min 10 s");
  EXPECT_EQ(duration(3599.9), "1 h 0 min");
  EXPECT_EQ(duration(7500), "2 h 5 min");
}

Finding race() {
  Finding f;
  f.kind = "data race";
  f.verdict = "changed";
  f.consequence = "the output differs from the recorded one";
  f.fingerprint = "0123456789abcdef";
  f.sides = {{"update (load and store) of 4 bytes",
              "thread 2",
              {2, 17, 0x401000, 1},
              0x404010,
              4,
              "counter",
              {{0x401000, "add", "main.c", 10, ""}, {0x401100, "", "", 0, "/bin/program"}}},
             {"write of 4 bytes",
              "thread 3",
              {3, 5, 0x401020, 0},
              0x404010,
              4,
              "counter",
              {{0x401020, "set", "main.c", 12, ""}}}};
  f.differences = {{"line 1 of standard output", "total 2", "total 1"}};
  f.deciding = {{"thread 2",
                 "is stopped between the load and the store of",
                 {2, 17, 0x401000, 1},
                 {0x401000, "add", "main.c", 10, ""},
                 3}};
  f.swapped = "2@17:401003>3";
  f.schedule = Schedule::parse("2@17:401000.1>3");
  f.strategy = "pct depth 3 seed 7 run 12";
  f.schedules_tried = 1012;
  f.found_steps = 40;
  f.confirmed = 1;
  return f;
}

TEST(FindingTextTest, SaysWhatIsKnownWhereTheSwappedStepsDoNotPass) {
  Finding f = race();
  f.swapped.clear();
  f.swaps_tried = {"2@17:401003>3: infeasible, because"};
  f.without_step = "-";
  EXPECT_NE(finding_text(f, "", false)
                .find("  not confirmed: no run had these two the other way round\n"
                      "  with one step less it passes: --schedule -\n"),
            std::string::npos);
  f.either_order = "2@17:401003>3";
  EXPECT_NE(finding_text(f, "", false)
                .find("  either order of these two fails: --schedule 2@17:401003>3\n"
                      "  with one step less it passes: --schedule -\n"),
            std::string::npos);
}

TEST(FindingTextTest, SaysEverything) {
  EXPECT_EQ(
      finding_text(race(), "heddle replay f1", false),
      "data race on counter: the output differs from the recorded one  [0123456789abcdef]\n"
      "\n"
      "  thread 2: update (load and store) of 4 bytes of counter at 0x404010\n"
      "    #0 add main.c:10\n"
      "    #1 0x401100 (/bin/program)\n"
      "\n"
      "  thread 3: write of 4 bytes of counter at 0x404010\n"
      "    #0 set main.c:12\n"
      "\n"
      "what differed (changed)\n"
      "  line 1 of standard output\n"
      "    recorded  total 2\n"
      "    explored  total 1\n"
      "\n"
      "what decides\n"
      "  thread 2 is stopped between the load and the store of add main.c:10; thread 3 goes "
      "on\n"
      "  the other way round it passes: --schedule 2@17:401003>3\n"
      "\n"
      "schedule  2@17:401000.1>3\n"
      "found by  pct depth 3 seed 7 run 12, after 1,012 schedules; minimised from 40 steps to "
      "1; failed again in 1 run of this schedule\n"
      "replay    heddle replay f1\n");
}

TEST(FindingTextTest, ColourChangesNothingElse) {
  std::string coloured = finding_text(race(), "heddle replay f1", true);
  EXPECT_THAT(coloured, HasSubstr("\x1b["));
  for (size_t at; (at = coloured.find('\x1b')) != std::string::npos;)
    coloured.erase(at, coloured.find('m', at) - at + 1);
  EXPECT_EQ(coloured, finding_text(race(), "heddle replay f1", false));
}

TEST(FindingTextTest, TheProgramsTextCannotControlTheTerminal) {
  Finding f = race();
  const std::string evil = "x\x1b]0;title\x07\ny";
  f.kind = f.consequence = f.fingerprint = f.verdict = f.strategy = evil;
  for (auto& side : f.sides) {
    side.what = side.who = side.variable = evil;
    side.stack[0].function = side.stack[0].file = side.stack[0].module = evil;
  }
  f.differences = {{evil, evil, evil}};
  f.deciding[0].who = f.deciding[0].what = f.deciding[0].where.function = evil;
  const std::string text = finding_text(f, "heddle replay f1", false);
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << int{c};
  for (const char c : finding_line(f)) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << int{c};
}

TEST(FindingTextTest, WhatIsUnknownIsLeftOut) {
  const std::string text = finding_text({}, "", false);
  EXPECT_THAT(text, Not(HasSubstr("what differed")));
  EXPECT_THAT(text, Not(HasSubstr("what decides")));
  EXPECT_THAT(text, Not(HasSubstr("replay ")));
  EXPECT_THAT(text, HasSubstr("schedule  -\n"));
  EXPECT_THAT(text, HasSubstr("not run again"));
  EXPECT_EQ(text.back(), '\n');

  Finding f = race();
  f.sides[0].stack.clear();
  f.sides[1].variable.clear();
  f.sides[1].address = 0;
  const std::string less = finding_text(f, "", false);
  EXPECT_THAT(less, HasSubstr("(no stack)"));
  EXPECT_THAT(less, HasSubstr("thread 3: write of 4 bytes\n"));
}

TEST(FindingTextTest, LongListsOfDifferencesAreCut) {
  Finding f = race();
  f.differences.assign(1000, f.differences[0]);
  const std::string text = finding_text(f, "", false);
  EXPECT_THAT(text, HasSubstr("  and 992 more\n"));
  EXPECT_LT(std::ranges::count(text, '\n'), 60);
}

TEST(FindingLineTest, NamesKindVariableAndPlaces) {
  EXPECT_EQ(finding_line(race()), "data race on counter: add main.c:10 and set main.c:12");
  Finding f = race();
  f.sides.pop_back();
  f.sides[0].variable.clear();
  EXPECT_EQ(finding_line(f), "data race: add main.c:10");
  f.sides.clear();
  EXPECT_EQ(finding_line(f), "data race");
}

TEST(FindingLineTest, AFirstSideWithoutAStackIsPassedOver) {
  Finding f = race();
  f.sides[0].stack.clear();
  EXPECT_EQ(finding_line(f), "data race on counter: set main.c:12");
}

TEST(FrameTextTest, TakesWhatIsKnown) {
  EXPECT_EQ(frame_text(0, {0x401000, "add", "main.c", 10, "/bin/p"}), "#0 add main.c:10");
  EXPECT_EQ(frame_text(3, {0x401000, "add", "main.c", 0, "/bin/p"}), "#3 add main.c");
  EXPECT_EQ(frame_text(1, {0x401136, "", "", 0, "/bin/prog"}), "#1 0x401136 (/bin/prog)");
  EXPECT_EQ(frame_text(1, {0x401136, "", "", 0, ""}), "#1 0x401136");
  EXPECT_EQ(frame_text(1, {0x401136, "puts", "", 0, "/lib/libc.so.6"}), "#1 puts (/lib/libc.so.6)");
}

ExplorationText explored() {
  ExplorationText e;
  e.race_pairs = 3;
  e.lock_ordered_pairs = 1200;
  e.schedules = 12345;
  e.verdicts = {{"same", 12000}, {"infeasible", 344}, {"changed", 1}};
  e.infeasible = {{"a", 1}, {"b", 200}, {"c", 3}, {"d", 4}, {"e", 5}, {"f", 6}, {"g", 125}};
  e.strategies = {{"pct", 8000}, {"random", 4345}};
  e.findings = {"f1: data race on counter"};
  e.seconds = 30;
  e.stopped = "a finding";
  return e;
}

TEST(ExplorationTextTest, SaysEverything) {
  EXPECT_EQ(exploration_text(explored(), false),
            "explored  12,345 schedules in 30.0 s (412/s); stopped: a finding\n"
            "pairs     3 unordered, 1,200 ordered only by locks\n"
            "by        8,000 pct, 4,345 random\n"
            "ended     12,000 same, 344 infeasible, 1 changed\n"
            "  infeasible 200: b\n"
            "  infeasible 125: g\n"
            "  infeasible 6: f\n"
            "  infeasible 5: e\n"
            "  infeasible 4: d\n"
            "  infeasible 4: other reasons\n"
            "findings  1\n"
            "  f1: data race on counter\n");
}

TEST(ExplorationTextTest, NothingAtAllIsTextToo) {
  EXPECT_EQ(exploration_text({}, false),
            "explored  0 schedules in 0 ms (-/s)\n"
            "pairs     0 unordered, 0 ordered only by locks\n"
            "findings  0\n");
}

TEST(ExplorationTextTest, GuestsTextIsEscaped) {
  ExplorationText e = explored();
  e.infeasible = {{"\x1b[2J", 1}};
  e.findings = {"\x1b[2J"};
  e.stopped = "\x1b[2J";
  EXPECT_THAT(exploration_text(e, false), Not(HasSubstr("\x1b")));
  EXPECT_THAT(exploration_text(explored(), true), HasSubstr("\x1b["));
}

TEST(ProgressLineTest, IsOneLine) {
  EXPECT_EQ(progress_line(12345, 30, 2), "12,345 schedules, 412/s, 2 findings");
  EXPECT_EQ(progress_line(1, 0, 1), "1 schedule, -/s, 1 finding");
  EXPECT_EQ(progress_line(7, 2, 0), "7 schedules, 3.5/s, 0 findings");
}

}  // namespace
}  // namespace heddle::report
