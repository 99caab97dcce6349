// Stacks of a recorded program, taken where nothing but the program itself happens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "machine/stacks/unwinder.h"
#include "replayer/mapped_files.h"
#include "replayer/replayer.h"
#include "tests/unit/stacks/stack_matchers.h"
#include "trace_format/reader.h"

namespace heddle::testing {
namespace {

using ::testing::SizeIs;

TEST(StacksInAReplay, AtEveryCallOfACFunctionByGoroutines) {
  const std::string program = HEDDLE_GUESTS "/race_cgo";
  if (!std::filesystem::exists(program)) GTEST_SKIP() << "no Go guests";
  const std::string directory = ::testing::TempDir() + "heddle_stacks_" + std::to_string(getpid());
  const std::string record =
      std::string(HEDDLE_COMMAND) + " record -q -o " + directory + " -- " + program + " 3";
  ASSERT_EQ(std::system((record + " > /dev/null").c_str()), 0) << record;

  TraceReader trace(directory);
  const auto pinned = [&](const std::string& content) { return trace.pinned(content); };
  const auto first = trace.next();
  ASSERT_TRUE(first);
  const auto increment = Symbols({{0x400000, program}}).address_of("increment");
  ASSERT_TRUE(increment);
  const std::set<uint64_t> hooks = {*increment};
  translator::Options options;
  options.hooks = &hooks;
  Replayer replayer(*first, pinned, {}, options);
  MappedFiles files(pinned);
  files.advance(*first, replayer);
  // Of each call, the functions that the program's author wrote or asked for.
  std::vector<std::vector<Frame>> stacks;
  replayer.on_instrumentation = [&](const Exit& exit) {
    ASSERT_EQ(exit.kind, Exit::Kind::hook);
    Guest& guest = replayer.guest();
    const auto frames =
        Unwinder(files.modules(guest)).stack(guest.memory(), guest.task(guest.current()).registers);
    stacks.emplace_back();
    for (const auto& frame : frames)
      if (!frame.function.starts_with("runtime.")) stacks.back().push_back(frame);
    guest.cpu().thread().resume();
  };
  while (const auto event = trace.next()) {
    replayer.advance(*event);
    files.advance(*event, replayer);
  }
  std::filesystem::remove_all(directory);

  EXPECT_THAT(stacks, SizeIs(6));
  for (const auto& stack : stacks) {
    // What cgo puts between the two jumps to increment, and leaves no frame.
    ASSERT_THAT(stack, SizeIs(3)) << ::testing::PrintToString(stack);
    EXPECT_THAT(stack[0], calls("increment", "race_cgo/counter.c", "shared++"));
    EXPECT_THAT(stack[1], in("main._Cfunc_increment"));
    EXPECT_THAT(stack[2], calls("main.main.func1", "race_cgo/main.go", "C.increment()"));
  }
}

}  // namespace
}  // namespace heddle::testing
