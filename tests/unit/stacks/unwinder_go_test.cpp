// Stacks of programs of Go and C: tests/guests/stacks_cgo, and the same without symbols.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>
#include <filesystem>

#include "machine/stacks/go_thread.h"
#include "tests/unit/stacks/source_lines.h"
#include "tests/unit/stacks/stack_matchers.h"
#include "tests/unit/stacks/stopped_program.h"

namespace heddle::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr const char* kMain = "stacks_cgo/main.go";
constexpr const char* kC = "stacks_cgo/descend.c";

// Frames of the runtime's and cgo's own code come and go with versions: what the program's author
// wrote is left, and how its parts are joined.
std::vector<Frame> of_the_program(const std::vector<Frame>& frames) {
  std::vector<Frame> out;
  for (const auto& frame : frames)
    if (frame.file.find("/stacks_cgo/") != std::string::npos || frame.function == kSignalFrame)
      out.push_back(frame);
  return out;
}

struct GoStackTest : ::testing::TestWithParam<const char*> {
  void SetUp() override {
    guest_ = std::string(HEDDLE_GUESTS) + "/" + GetParam();
    if (!std::filesystem::exists(guest_)) GTEST_SKIP() << "no Go guests";
  }
  bool stripped() const { return guest_.ends_with("stripped"); }

  std::vector<Frame> stack(StoppedProgram& program) {
    return Unwinder(program.modules()).stack(program.memory(), program.registers(), 200);
  }

  std::string guest_;
};

std::string name_of(const ::testing::TestParamInfo<const char*>& info) {
  return info.param;
}
INSTANTIATE_TEST_SUITE_P(Guests, GoStackTest,
                         ::testing::Values("stacks_cgo", "stacks_cgo_stripped",
                                           "stacks_cgo_pie_stripped"),
                         name_of);

TEST_P(GoStackTest, CAndGoCallEachOther) {
  StoppedProgram program(guest_, {"descend"});
  program.run_to_breakpoint();
  const auto frames = stack(program);
  std::vector<std::string> expected;
  for (int i = 0; i < 4; ++i)
    expected.insert(expected.end(), {"descend", "runtime.asmcgocall", "main._Cfunc_descend",
                                     "main.goDescend", "runtime.cgocallback", "crosscall2"});
  expected.insert(expected.end(),
                  {"descend", "runtime.asmcgocall", "main._Cfunc_descend", "main.main"});
  std::vector<std::string> got;
  for (const auto& frame : frames)
    if (std::find(expected.begin(), expected.end(), frame.function) != expected.end())
      got.push_back(frame.function);
  EXPECT_EQ(got, expected) << ::testing::PrintToString(frames);
  EXPECT_EQ(frames.back().function, "runtime.main");
  EXPECT_THAT(frames, Contains(calls("main.goDescend", kMain, "// to C")).Times(4));
  EXPECT_THAT(frames, Contains(calls("main.main", kMain, "// from main")).Times(1));
  if (!stripped()) {
    EXPECT_THAT(frames, Contains(calls("descend", kC, "// to Go")).Times(4));
  }
}

TEST_P(GoStackTest, InACallback) {
  StoppedProgram program(guest_, {"callback"});
  program.run_to_breakpoint();
  const auto frames = stack(program);
  EXPECT_THAT(frames, Contains(calls("main.goDescend", kMain, "// in the callback")).Times(1));
  EXPECT_THAT(frames, Contains(calls("main.goDescend", kMain, "// to C")).Times(3));
  EXPECT_THAT(frames, Contains(in("descend")).Times(4));
  EXPECT_THAT(frames, Contains(calls("main.main", kMain, "// from main")).Times(1));
}

TEST_P(GoStackTest, AThreadThatGoDidNotMake) {
  StoppedProgram program(guest_, {"foreign"});
  program.run_to_breakpoint();
  const auto frames = stack(program);
  EXPECT_THAT(frames, Contains(calls("main.goForeign", kMain, "// in goForeign")).Times(1));
  EXPECT_THAT(frames, Contains(in("crosscall2")).Times(1));
  EXPECT_THAT(frames, Contains(in("goForeign")).Times(1));
  if (!stripped()) {
    EXPECT_THAT(frames, Contains(calls("foreign", kC, "// from foreign")).Times(1));
  }
}

TEST_P(GoStackTest, ADeferredFunctionAfterAFault) {
  StoppedProgram program(guest_, {"panic"});
  program.run_to_breakpoint();
  EXPECT_THAT(of_the_program(stack(program)),
              ElementsAre(calls("main.inDeferred", kMain, "// in inDeferred"),
                          calls("main.dereference", kMain, "// nil"), in("main.main")));
}

TEST_P(GoStackTest, AGoroutineThatParks) {
  StoppedProgram program(guest_, {"park"});
  const auto park = Unwinder(program.modules()).symbols().address_of("runtime.park_m");
  ASSERT_TRUE(park);
  for (;;) {
    program.set_breakpoint(*park);
    program.run_to_breakpoint();
    const auto frames = stack(program);
    EXPECT_EQ(frames.front().function, "runtime.park_m");
    EXPECT_THAT(frames, Contains(in("runtime.mcall")).Times(1));
    EXPECT_THAT(frames, Contains(in("runtime.gopark")).Times(1));
    program.remove_breakpoint();
    const auto own = of_the_program(frames);
    if (own.empty() || own.front().function != "main.park") {
      program.step();
      continue;
    }
    EXPECT_THAT(own, ElementsAre(calls("main.park", kMain, "// parks"), in("main.main")));
    break;
  }
}

TEST_P(GoStackTest, AStackThatGrows) {
  StoppedProgram program(guest_, {"grow"});
  const auto newstack = Unwinder(program.modules()).symbols().address_of("runtime.newstack");
  ASSERT_TRUE(newstack);
  for (;;) {
    program.set_breakpoint(*newstack);
    program.run_to_breakpoint();
    const auto frames = stack(program);
    EXPECT_THAT(frames, Contains(in("runtime.morestack")).Times(1));
    const auto own = of_the_program(frames);
    program.remove_breakpoint();
    if (own.size() < 10) {
      program.step();
      continue;
    }
    EXPECT_THAT(
        own,
        Contains(calls("main.grow", kMain, "// grows")).Times(static_cast<int>(own.size()) - 2));
    EXPECT_EQ(own.back().function, "main.main.func2");
    break;
  }
}

// The runtime calls mmap of the C library on the thread's stack, which it aligns for it.
TEST_P(GoStackTest, OnTheSystemStackInC) {
  StoppedProgram program(guest_, {"allocate"});
  const auto allocate = Unwinder(program.modules()).symbols().address_of("main.allocate");
  ASSERT_TRUE(allocate);
  program.set_breakpoint(*allocate);
  program.run_to_breakpoint();
  program.remove_breakpoint();
  program.run_to_syscall([](const Registers& r) {
    return r[Register::rax] == SYS_mmap && r[Register::rsi] >= 1 << 28;
  });
  const auto frames = stack(program);
  EXPECT_THAT(frames, Contains(in("x_cgo_mmap")).Times(1));
  EXPECT_THAT(frames, Contains(in("runtime.systemstack")).Times(1));
  EXPECT_THAT(of_the_program(frames),
              ElementsAre(calls("main.allocate", kMain, "// allocates"), in("main.main")));
}

// asmcgocall on the thread's stack already: threads are made there.
TEST_P(GoStackTest, ACallOfCThatChangesNoStack) {
  StoppedProgram program(guest_, {"park"});
  program.run_to_syscall([](const Registers& r) {
    return r[Register::rax] == SYS_clone || r[Register::rax] == SYS_clone3;
  });
  const auto frames = stack(program);
  const auto call = std::find_if(frames.begin(), frames.end(), [](const Frame& frame) {
    return frame.function == "runtime.asmcgocall";
  });
  ASSERT_TRUE(call != frames.end() && call + 1 != frames.end()) << ::testing::PrintToString(frames);
  EXPECT_EQ((call + 1)->function, "runtime.newm1") << ::testing::PrintToString(frames);
  EXPECT_EQ(frames.back().function, "runtime.main") << ::testing::PrintToString(frames);
}

TEST_P(GoStackTest, InASignalHandler) {
  StoppedProgram program(guest_, {"preempt"});
  const auto handler = Unwinder(program.modules()).symbols().address_of("runtime.sighandler");
  ASSERT_TRUE(handler);
  for (bool found = false; !found;) {
    program.set_breakpoint(*handler);
    program.run_to_breakpoint();
    const auto frames = stack(program);
    EXPECT_THAT(frames, Contains(in(std::string(kSignalFrame))).Times(1));
    EXPECT_THAT(frames, Contains(in("runtime.sigtramp")).Times(1));
    const auto own = of_the_program(frames);
    found = std::any_of(own.begin(), own.end(),
                        [](const Frame& frame) { return frame.function == "main.spin"; });
    if (found) {
      EXPECT_THAT(own, ElementsAre(in(std::string(kSignalFrame)), in("main.spin")));
    }
    program.remove_breakpoint();
    program.step();
  }
}

// The guest's memory with some of its words changed, the same ones for the same seed.
class DamagedMemory final : public GuestMemory {
 public:
  DamagedMemory(const GuestMemory& memory, uint64_t seed) : memory_(memory), seed_(seed) {}
  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    const size_t size = memory_.read(address, out);
    for (size_t i = 0; i < size; ++i) {
      const uint64_t word = (address + i) / sizeof(uint64_t);
      const uint64_t hash = (word ^ seed_) * 0x9e3779b97f4a7c15;
      if (hash >> 58 == 0) out[i] = static_cast<uint8_t>(hash >> (address + i) % 8 * 8);
    }
    return size;
  }
  bool write(uint64_t, std::span<const uint8_t>) override { return false; }

 private:
  const GuestMemory& memory_;
  uint64_t seed_;
};

TEST_P(GoStackTest, ADamagedStackEndsTheWalk) {
  StoppedProgram program(guest_, {"descend"});
  program.run_to_breakpoint();
  const Unwinder unwinder(program.modules());
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    Registers registers = program.registers();
    if (seed % 2) registers[Register::rsp] += seed * 8;
    const auto frames = unwinder.stack(DamagedMemory(program.memory(), seed), registers);
    EXPECT_FALSE(frames.empty());
    EXPECT_LE(frames.size(), 64u);
  }
}

TEST_P(GoStackTest, OffsetsOfDwarfAndOfTheVersionAgree) {
  const Symbols symbols({{stripped() ? 0u : 0x400000u, guest_}});
  const LoadedModule* module = symbols.go_module();
  ASSERT_TRUE(module);
  const auto version = GoLayout::version(*module);
  EXPECT_TRUE(version.starts_with("go1.")) << version;
  const auto used = GoLayout::of(*module);
  ASSERT_TRUE(used);
  const auto known = GoLayout::of_version(version);
  EXPECT_EQ(used, known.value_or(*used));
}

TEST(GoLayoutTest, VersionsThatAreNotKnown) {
  for (const auto* version : {"", "go", "go1", "go1.17", "go2.0", "devel go1.20-12345", "go1.99"})
    EXPECT_FALSE(GoLayout::of_version(version)) << version;
  EXPECT_TRUE(GoLayout::of_version("go1.19"));
  EXPECT_TRUE(GoLayout::of_version("go1.19.8"));
}

}  // namespace
}  // namespace heddle::testing
