// Stacks of C programs: tests/guests/stacks*.c.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <set>

#include "tests/unit/stacks/source_lines.h"
#include "tests/unit/stacks/stack_matchers.h"
#include "tests/unit/stacks/stopped_program.h"

namespace heddle::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;

const std::string kGuest = HEDDLE_GUESTS "/stacks_cie1";

// What is left of `frames` when those outside of main are gone.
std::vector<Frame> up_to_main(std::vector<Frame> frames) {
  const auto main = std::find_if(frames.begin(), frames.end(),
                                 [](const Frame& frame) { return frame.function == "main"; });
  if (main != frames.end()) frames.erase(main + 1, frames.end());
  return frames;
}

struct CStackTest : ::testing::Test {
  std::vector<Frame> stack_at_breakpoint(const std::string& scenario,
                                         const std::string& guest = kGuest) {
    StoppedProgram program(guest, {scenario});
    program.run_to_breakpoint();
    return up_to_main(Unwinder(program.modules()).stack(program.memory(), program.registers()));
  }
};

TEST_F(CStackTest, CallsWithInlinedFunctions) {
  const auto frames = stack_at_breakpoint("calls");
  const auto again = calls("recursive", "stacks.c", "// again");
  EXPECT_THAT(frames,
              ElementsAre(in("stop_here"), calls("innermost", "stacks.c", "// from innermost"),
                          calls("inlined", "stacks.c", "// from inlined"),
                          calls("recursive", "stacks.c", "// from recursive"), again, again, again,
                          calls("main", "stacks.c", "// from main")));
  ASSERT_THAT(frames, SizeIs(8));
  EXPECT_TRUE(frames[2].inlined);
  EXPECT_FALSE(frames[3].inlined);
  EXPECT_EQ(frames[2].sp, frames[3].sp);
  EXPECT_LT(frames[3].sp, frames[4].sp);
}

TEST_F(CStackTest, AFrameOfVariableSize) {
  EXPECT_THAT(stack_at_breakpoint("alloca"),
              ElementsAre(in("stop_here"), calls("with_alloca", "stacks.c", "// from with_alloca"),
                          in("main")));
}

TEST_F(CStackTest, ASignalHandlerOnAnAlternateStack) {
  EXPECT_THAT(stack_at_breakpoint("signal"),
              ElementsAre(in("stop_here"), calls("handler", "stacks.c", "// from handler"),
                          in(std::string(kSignalFrame)), calls("faulting", "stacks.c", "// fault"),
                          in("main")));
}

TEST_F(CStackTest, OnlyDebugFrame) {
  for (const auto* guest : {"/stacks_cie1", "/stacks_cie4"})
    EXPECT_THAT(
        stack_at_breakpoint("debug_frame", std::string(HEDDLE_GUESTS) + guest),
        ElementsAre(in("stop_here"), calls("deeper", "stacks_debug_frame.c", "// from deeper"),
                    calls("only_debug_frame", "stacks_debug_frame.c", "// from only_debug_frame"),
                    in("main")));
}

TEST_F(CStackTest, OnlyFramePointers) {
  EXPECT_THAT(
      stack_at_breakpoint("frame_pointer"),
      ElementsAre(in("stop_here"), in("deeper_by_pointer"), in("only_frame_pointer"), in("main")));
}

TEST_F(CStackTest, ACallOfNoCode) {
  StoppedProgram program(kGuest, {"null"});
  program.run_to_signal(SIGSEGV);
  const auto frames =
      up_to_main(Unwinder(program.modules()).stack(program.memory(), program.registers()));
  EXPECT_THAT(frames, ElementsAre(in(""), calls("call", "stacks.c", "// indirect"), in("main")));
  EXPECT_EQ(frames.front().pc, 0u);
}

TEST_F(CStackTest, TheOutermostFrameEndsTheWalk) {
  StoppedProgram program(kGuest, {"calls"});
  program.run_to_breakpoint();
  const Unwinder unwinder(program.modules());
  const auto frames = unwinder.stack(program.memory(), program.registers());
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().function, "_start");
  EXPECT_THAT(unwinder.stack(program.memory(), program.registers(), 3), SizeIs(3));
}

// Prologues, epilogues, pushes and calls: 100 instructions, back and forth between functions.
TEST_F(CStackTest, FromEveryInstruction) {
  StoppedProgram program(kGuest, {"calls"});
  program.run_to_breakpoint();
  const Unwinder unwinder(program.modules());
  std::set<std::string> innermost;
  for (int i = 0; i < 100; ++i) {
    const auto frames = unwinder.stack(program.memory(), program.registers());
    innermost.insert(frames.front().function);
    if (frames.front().function == "main") break;
    const auto again = std::count_if(frames.begin(), frames.end(), [](const Frame& frame) {
      return frame.line == line_of("stacks.c", "// again");
    });
    EXPECT_LE(again, 3);
    EXPECT_EQ(frames.back().function, "_start") << ::testing::PrintToString(frames);
    const auto inner = up_to_main(frames);
    EXPECT_THAT(inner.back(), calls("main", "stacks.c", "// from main"))
        << ::testing::PrintToString(frames);
    program.step();
  }
  EXPECT_THAT(innermost, IsSupersetOf({"stop_here", "innermost", "recursive", "main"}));
}

TEST_F(CStackTest, AtAFunctionsFirstInstruction) {
  StoppedProgram program(kGuest, {"calls"});
  const Symbols symbols(program.modules());
  const auto start = symbols.address_of("stop_here");
  ASSERT_TRUE(start);
  program.set_breakpoint(*start);
  program.run_to_breakpoint();
  const auto frames = Unwinder(symbols).stack(program.memory(), program.registers());
  ASSERT_GE(frames.size(), 2u);
  EXPECT_EQ(frames[0].pc, *start);
  EXPECT_THAT(frames[1], calls("innermost", "stacks.c", "// from innermost"));
}

}  // namespace
}  // namespace heddle::testing
