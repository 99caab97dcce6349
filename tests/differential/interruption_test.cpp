// A signal of the outside stops the task anywhere in host code; asked to stop soon, the task does
// so at its next tick, and no tick is lost or counted twice.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "tests/differential/generator.h"
#include "tests/differential/sandbox.h"

namespace heddle::differential {
namespace {

// A loop with live and dead flags at its top, calls, returns, indirect jumps and a repeated string
// instruction.
GuestProgram loop_of_transfers() {
  GuestProgram program = generate(1);  // for its registers
  const auto& p = program.placement;
  program.items.clear();
  const auto add = [&](Item item) { program.items.push_back(std::move(item)); };
  add({.bytes = {0x41, 0xbb, 4, 0, 0, 0}});                                      // mov r11d,4
  add({.bytes = {0x0f, 0x92, 0xc0}});                                            // top: setb al
  add({.kind = Item::Kind::call, .target = 9});                                  // call f
  add({.kind = Item::Kind::address, .bytes = {0x48, 0x8d, 0x15}, .target = 5});  // lea rdx,[next]
  add({.bytes = {0xff, 0xe2}});                                                  // jmp rdx
  add({.bytes = {0x49, 0x83, 0xeb, 0x01}});                                      // sub r11,1
  add({.kind = Item::Kind::conditional, .bytes = {5}, .target = 1});             // jne top
  add({.kind = Item::Kind::jump, .target = 16});                                 // jmp end
  add({.bytes = {0x90}});
  add({.bytes = {0x83, 0xc3, 0x07}});  // f: add ebx,7
  add({.bytes = {0x0f, 0x93, 0xc1}});  // setae cl
  const auto load_address = [&](uint8_t reg, uint64_t data) {
    add({.kind = Item::Kind::data,
         .bytes = {0x48, 0x8d, reg, 0, 0, 0, 0},
         .data = data,
         .displacement_at = 3});
  };
  load_address(0x35, p.data() + 0x1800);  // lea rsi,[data + ...]
  load_address(0x3d, p.data() + 0x1400);  // lea rdi,[data + ...]
  add({.bytes = {0xb9, 3, 0, 0, 0}});     // mov ecx,3
  add({.bytes = {0xf3, 0xa4}});           // rep movsb
  add({.bytes = {0xc3}});                 // ret
  program.registers[Register::rip] = p.code;
  return program;
}

// Fast translations, and those that take all registers back after each transfer.
class Interruption : public ::testing::TestWithParam<bool> {};

TEST_P(Interruption, NoTickIsLostWhereverTheSignalComes) {
  Sandbox sandbox;
  const auto program = loop_of_transfers();
  sandbox.reset(program);
  State end;
  const auto path = sandbox.step_native(1000, &end);
  ASSERT_TRUE(path);
  const Ticks total = path->back().ticks;
  ASSERT_GT(total, 8u);
  sandbox.reset(program);
  GuestCpu& cpu = sandbox.translated(GetParam() ? fast_translation() : translator::Options());
  {
    TaskContext context = sandbox.context();
    ASSERT_EQ(cpu.run(context).kind, Exit::Kind::fault);  // translates and links everything
  }
  const pid_t pid = sandbox.process().pid();
  for (unsigned steps = 0;; ++steps) {
    sandbox.reset(program);
    TaskContext context = sandbox.context();
    // A signal that is pending stops the thread before it executes anything.
    ASSERT_EQ(syscall(SYS_tgkill, pid, pid, SIGUSR1), 0);
    cpu.start(context);
    ASSERT_EQ(cpu.wait(context).kind, Exit::Kind::signal);
    bool ended = false;
    for (unsigned i = 0; i < steps && !ended; ++i) {
      ASSERT_EQ(ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr), 0);
      const int status = cpu.thread().wait();
      ended = !is_signal_stop(status, SIGTRAP) || cpu.thread().signal_info().si_code != TRAP_TRACE;
    }
    if (ended) break;
    cpu.keep_running(true);
    const Exit exit = cpu.wait(context);
    if (exit.kind == Exit::Kind::budget) {
      const auto step = std::find_if(path->begin(), path->end(),
                                     [&](const Step& s) { return s.ticks == context.ticks; });
      ASSERT_NE(step, path->end()) << "after " << steps << " host instructions";
      EXPECT_EQ(step->registers[Register::rip], context.registers[Register::rip])
          << "after " << steps << " host instructions";
      ASSERT_EQ(cpu.run(context).kind, Exit::Kind::fault);
    }
    ASSERT_EQ(context.ticks, total) << "after " << steps << " host instructions";
    const State state = sandbox.state(context, {}, true);
    EXPECT_EQ(state.registers, end.registers) << "after " << steps << " host instructions";
    EXPECT_EQ(state.memory, end.memory);
  }
}

// A small loop in the middle of a block, whose turns may count together; which counters code takes
// goes by its address.
GuestProgram loop_in_a_block(size_t behind) {
  GuestProgram program = generate(1);
  program.items.clear();
  const auto add = [&](Item item) { program.items.push_back(std::move(item)); };
  add({.bytes = {0xb9, 0xe8, 3, 0, 0}});                              // mov ecx,1000
  add({.bytes = {0x83, 0xc3, 0x07}});                                 // top: add ebx,7
  add({.bytes = {0x83, 0xe9, 0x01}});                                 // sub ecx,1
  add({.kind = Item::Kind::conditional, .bytes = {5}, .target = 1});  // jne top
  for (size_t i = 0; i < behind; ++i) add({.bytes = {0x90}});
  program.registers[Register::rip] = program.placement.code;
  return program;
}

// The first native step at each count of ticks; nothing where the program did not end.
std::vector<std::optional<Step>> native_path_by_ticks(Sandbox& sandbox) {
  State end;
  const auto path = sandbox.step_native(10'000, &end);
  if (!path) return {};
  std::vector<std::optional<Step>> at(path->back().ticks + 1);
  for (const auto& step : *path)
    if (!at[step.ticks]) at[step.ticks] = step;
  return at;
}

TEST_P(Interruption, ALoopStopsAtTheEndOfItsBudget) {
  Sandbox sandbox;
  for (size_t behind = 0; behind < 8; ++behind) {
    const auto program = loop_in_a_block(behind);
    sandbox.reset(program);
    const auto at = native_path_by_ticks(sandbox);
    ASSERT_FALSE(at.empty());
    GuestCpu& cpu = sandbox.translated(GetParam() ? fast_translation() : translator::Options());
    for (Ticks budget = 1; budget < at.size(); budget += 1 + budget / 8) {
      sandbox.reset(program);
      TaskContext context = sandbox.context();
      ASSERT_EQ(cpu.run(context, budget).kind, Exit::Kind::budget);
      ASSERT_EQ(context.ticks, budget) << behind << " instructions behind the loop";
      EXPECT_EQ(context.registers[Register::rip], at[budget]->registers[Register::rip]);
      EXPECT_EQ(context.registers[Register::rcx], at[budget]->registers[Register::rcx]);
    }
  }
}

TEST_P(Interruption, ALoopStopsSoonWhereverTheSignalComes) {
  constexpr Ticks kSoon = 20;  // copies count together
  Sandbox sandbox;
  const auto program = loop_in_a_block(1);
  sandbox.reset(program);
  const auto at = native_path_by_ticks(sandbox);
  ASSERT_FALSE(at.empty());
  GuestCpu& cpu = sandbox.translated(GetParam() ? fast_translation() : translator::Options());
  {
    TaskContext context = sandbox.context();
    ASSERT_EQ(cpu.run(context).kind, Exit::Kind::fault);
  }
  const pid_t pid = sandbox.process().pid();
  for (unsigned steps = 0; steps < 150; ++steps) {
    sandbox.reset(program);
    TaskContext context = sandbox.context();
    ASSERT_EQ(syscall(SYS_tgkill, pid, pid, SIGUSR1), 0);
    cpu.start(context);
    ASSERT_EQ(cpu.wait(context).kind, Exit::Kind::signal);
    for (unsigned i = 0; i < steps; ++i) {
      ASSERT_EQ(ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr), 0);
      ASSERT_TRUE(is_signal_stop(cpu.thread().wait(), SIGTRAP));
    }
    cpu.keep_running(true);
    ASSERT_EQ(cpu.wait(context).kind, Exit::Kind::budget) << "after " << steps;
    EXPECT_LE(context.ticks, steps / 3 + kSoon) << "after " << steps;
    EXPECT_EQ(context.registers[Register::rip], at[context.ticks]->registers[Register::rip]);
    EXPECT_EQ(context.registers[Register::rcx], at[context.ticks]->registers[Register::rcx]);
  }
}

// A loop of as many turns as there are numbers, counted down in rcx.
GuestProgram endless_loop() {
  GuestProgram program = generate(1);
  program.items.clear();
  const auto add = [&](Item item) { program.items.push_back(std::move(item)); };
  add({.bytes = {0x31, 0xc9}});                                       // xor ecx,ecx
  add({.bytes = {0x83, 0xc3, 0x07}});                                 // top: add ebx,7
  add({.bytes = {0x48, 0x83, 0xe9, 0x01}});                           // sub rcx,1
  add({.kind = Item::Kind::conditional, .bytes = {5}, .target = 1});  // jne top
  program.registers[Register::rip] = program.placement.code;
  return program;
}

// Budgets of more than the counters are filled with at a time.
TEST_P(Interruption, ALongLoopStopsAtTheEndOfItsBudget) {
  Sandbox sandbox;
  const auto program = endless_loop();
  sandbox.reset(program);
  GuestCpu& cpu = sandbox.translated(GetParam() ? fast_translation() : translator::Options());
  constexpr Ticks kRefill = HEDDLE_REFILL;
  for (const Ticks budget : {kRefill, kRefill + 1, kRefill + 2, 2 * kRefill + 1, 5 * kRefill - 1}) {
    sandbox.reset(program);
    TaskContext context = sandbox.context();
    ASSERT_EQ(cpu.run(context, budget).kind, Exit::Kind::budget);
    EXPECT_EQ(context.ticks, budget);
    EXPECT_EQ(context.registers[Register::rcx], 0 - budget);
  }
}

TEST(EndingSoon, ALoopWithoutEndStopsAndLosesNoTick) {
  Sandbox sandbox;
  const auto program = endless_loop();
  sandbox.reset(program);
  GuestCpu& cpu = sandbox.translated(fast_translation());
  TaskContext context = sandbox.context();
  for (int i = 0; i < 20; ++i) {
    const Ticks before = context.ticks;
    cpu.start(context);
    cpu.end_soon();
    ASSERT_EQ(cpu.wait(context).kind, Exit::Kind::budget);
    EXPECT_GT(context.ticks, before);
    EXPECT_EQ(context.registers[Register::rcx], 0 - context.ticks);
  }
}

INSTANTIATE_TEST_SUITE_P(Translations, Interruption, ::testing::Bool());

}  // namespace
}  // namespace heddle::differential
