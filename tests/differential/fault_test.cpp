// Faults in the middle of translated code: the guest's exact rip, registers, memory and siginfo, in
// every mode.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/differential/comparison.h"
#include "tests/differential/generator.h"

namespace heddle::differential {
namespace {

struct FaultCase {
  const char* name;
  std::vector<std::vector<uint8_t>> code;  // ends in the fault
  int signal;
  int code_of_signal;
  // Set before the run; offsets from the placement's data (rdi), read-only page (rsi), stack (rsp).
  uint64_t rdi = 0x1000, rsi = 0, rsp = 0x3000;
};

// The fault is that of the last instruction, which leaves in between its own steps where it can.
const FaultCase kCases[] = {
    {"a load", {{0x31, 0xc0}, {0x8b, 0x00}}, SIGSEGV, SEGV_MAPERR},
    {"a load with live flags", {{0xf9}, {0xb8, 1, 0, 0, 0}, {0x13, 0x00}}, SIGSEGV, SEGV_MAPERR},
    {"a store to a read-only page", {{0x89, 0x06}}, SIGSEGV, SEGV_ACCERR},
    {"an update of a read-only page", {{0xf9}, {0x83, 0x06, 0x01}}, SIGSEGV, SEGV_ACCERR},
    {"an update that reads flags", {{0xf9}, {0x11, 0x06}}, SIGSEGV, SEGV_ACCERR},
    {"an update that keeps CF", {{0xf9}, {0xff, 0x06}}, SIGSEGV, SEGV_ACCERR},
    {"a shift by a count of 0", {{0x31, 0xc9}, {0xf9}, {0xd3, 0x26}}, SIGSEGV, SEGV_ACCERR},
    {"a locked update", {{0xf0, 0x01, 0x06}}, SIGSEGV, SEGV_ACCERR},
    {"xchg", {{0x87, 0x06}}, SIGSEGV, SEGV_ACCERR},
    {"rep movsb half-way",
     {{0xb9, 0x40, 0, 0, 0}, {0x48, 0x89, 0xf2}, {0x48, 0x87, 0xfe}, {0xf3, 0xa4}},
     SIGSEGV,
     SEGV_ACCERR,
     0x1000,
     0},
    {"rep stosq half-way",
     {{0xb9, 0x10, 0, 0, 0}, {0xf3, 0x48, 0xab}},
     SIGSEGV,
     SEGV_ACCERR,
     0x3fe0},
    {"rep stosb backwards, half-way",
     {{0xb9, 0, 2, 0, 0}, {0xfd}, {0xf3, 0xaa}},
     SIGSEGV,
     SEGV_MAPERR,
     0x10},
    {"push into the guard page", {{0x50}}, SIGSEGV, SEGV_MAPERR, 0x1000, 0, 4},
    {"call with a bad stack", {{0xe8, 0, 0, 0, 0}}, SIGSEGV, SEGV_MAPERR, 0x1000, 0, 4},
    {"call of a register with a bad stack", {{0xff, 0xd0}}, SIGSEGV, SEGV_MAPERR, 0x1000, 0, 4},
    {"call through bad memory", {{0x31, 0xc0}, {0xff, 0x10}}, SIGSEGV, SEGV_MAPERR},
    {"ret with a bad stack", {{0xc3}}, SIGSEGV, SEGV_MAPERR, 0x1000, 0, ~uint64_t{0x100}},
    {"ret n with a bad stack", {{0xc2, 8, 0}}, SIGSEGV, SEGV_MAPERR, 0x1000, 0, ~uint64_t{0x100}},
    {"enter with a bad stack", {{0xc8, 8, 0, 1}}, SIGSEGV, SEGV_MAPERR, 0x1000, 0, 4},
    {"a call to address 0", {{0x31, 0xc0}, {0xff, 0xd0}}, SIGSEGV, SEGV_MAPERR},
    {"a jump to data", {{0xff, 0xe7}}, SIGSEGV, SEGV_ACCERR},
    {"a jump to an address that is not canonical",
     {{0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80}, {0xff, 0xe0}},
     SIGSEGV,
     SI_KERNEL},
    {"a return to one",
     {{0x68, 0, 0, 0, 0}, {0xc6, 0x44, 0x24, 7, 0x70}, {0xc3}},
     SIGSEGV,
     SI_KERNEL},
    {"a misaligned vector", {{0x0f, 0x28, 0x47, 0x01}}, SIGSEGV, SI_KERNEL},
    {"a division by 0", {{0x31, 0xc9}, {0xf7, 0xf1}}, SIGFPE, FPE_INTDIV},
    {"an overflowing division",
     {{0xba, 9, 0, 0, 0}, {0xb9, 1, 0, 0, 0}, {0xf7, 0xf1}},
     SIGFPE,
     FPE_INTDIV},
    {"ud2", {{0x0f, 0x0b}}, SIGILL, ILL_ILLOPN},
    {"no instruction", {{0x06}}, SIGILL, ILL_ILLOPN},
    {"hlt", {{0xf4}}, SIGSEGV, SI_KERNEL},
    {"int3", {{0xcc}}, SIGTRAP, SI_KERNEL},
    {"a value in the red zone",
     {{0x48, 0x89, 0x44, 0x24, 0xf8}, {0x31, 0xc0}, {0x8b, 0x00}},
     SIGSEGV,
     SEGV_MAPERR},
};

TEST(Fault, IsExactInEveryMode) {
  Comparison comparison;
  for (const auto& c : kCases) {
    for (const auto& placement : kPlacements) {
      GuestProgram program = generate(2);
      program.placement = placement;
      program.items.clear();
      for (const auto& bytes : c.code) program.items.push_back({.bytes = bytes});
      auto& r = program.registers;
      r[Register::rip] = placement.code;
      r[Register::rdi] = placement.data() + c.rdi;
      r[Register::rsi] = placement.read_only() + c.rsi;
      r[Register::rsp] = placement.stack() + c.rsp;
      r[Register::fs_base] = placement.data();
      EXPECT_EQ(comparison.difference(program).value_or(""), "") << c.name << "\n"
                                                                 << program.text();
      EXPECT_EQ(comparison.end().signal.si_signo, c.signal) << c.name;
      EXPECT_EQ(comparison.end().signal.si_code, c.code_of_signal) << c.name;
    }
  }
}

TEST(Fault, OfADirectBranchOutOfTheAddressSpaceIsTheBranchs) {
  const std::vector<std::vector<uint8_t>> branches{
      {0xe9, 0, 0, 0, 0x7f},        // jmp
      {0x0f, 0x85, 0, 0, 0, 0x7f},  // jnz
      {0xe8, 0, 0, 0, 0x7f},        // call
  };
  Comparison comparison;
  for (const auto& branch : branches) {
    GuestProgram program = generate(2);
    program.placement.code = 0x7fff'f7a0'0000;
    program.items.clear();
    program.items.push_back({.bytes = {0x83, 0xc9, 0x01}});  // or ecx, 1
    program.items.push_back({.bytes = branch});
    auto& r = program.registers;
    r[Register::rip] = program.placement.code;
    r[Register::rsp] = program.placement.stack() + 0x800;
    r[Register::fs_base] = program.placement.data();
    EXPECT_EQ(comparison.difference(program).value_or(""), "") << program.text();
    EXPECT_EQ(comparison.end().signal.si_signo, SIGSEGV);
    EXPECT_EQ(comparison.end().signal.si_code, SI_KERNEL);
  }
}

// The log's guard page is the machine's business: no entry is lost, no fault shows.
TEST(Fault, AFullAccessLogIsDrainedInBetween) {
  Sandbox sandbox;
  GuestProgram program = generate(2);
  const auto& p = program.placement;
  program.items.clear();
  // mov ecx,300000; top: add [rdi],eax; mov edx,[rdi+8]; dec ecx; jne top
  program.items.push_back({.bytes = {0xb9, 0xe0, 0x93, 0x04, 0x00}});
  program.items.push_back({.bytes = {0x01, 0x07}});
  program.items.push_back({.bytes = {0x8b, 0x57, 0x08}});
  program.items.push_back({.bytes = {0xff, 0xc9}});
  program.items.push_back({.kind = Item::Kind::conditional, .bytes = {5}, .target = 1});
  program.registers[Register::rdi] = p.data();
  program.registers[Register::rip] = p.code;
  sandbox.reset(program);
  const State native = sandbox.run_native();
  sandbox.reset(program);
  translator::Options options;
  options.log_accesses = true;
  GuestCpu& cpu = sandbox.translated(options);
  TaskContext context = sandbox.context();
  size_t entries = 0, drained = 0;
  Exit exit = cpu.run(context);
  while (exit.kind == Exit::Kind::log_full) {
    entries += cpu.drain_log().size();
    ++drained;
    cpu.resume_after_log();
    exit = cpu.wait(context);
  }
  entries += cpu.drain_log().size();
  EXPECT_EQ(exit.kind, Exit::Kind::fault);
  EXPECT_GE(drained, 1u);
  EXPECT_EQ(entries, 600000u);
  EXPECT_EQ(context.ticks, 299999u);
  const State state = sandbox.state(context, exit.info, true);
  EXPECT_EQ(state.registers, native.registers);
  EXPECT_EQ(state.memory, native.memory);
}

// The code cache lies in the guest's address space, and is no code of the guest's.
TEST(Fault, TheCodeCacheCannotBeExecutedByTheGuest) {
  Sandbox sandbox;
  GuestProgram program = generate(2);
  const auto& p = program.placement;
  program.items.clear();
  program.items.push_back({.bytes = {0xff, 0xe0}});  // jmp rax
  program.registers[Register::rip] = p.code;
  program.registers[Register::rax] = layout::kArenas[0].start + 16;
  sandbox.reset(program);
  GuestCpu& cpu = sandbox.translated(fast_translation());
  TaskContext context = sandbox.context();
  const Exit exit = cpu.run(context);
  EXPECT_EQ(exit.kind, Exit::Kind::fault);
  EXPECT_EQ(exit.info.si_signo, SIGSEGV);
  EXPECT_EQ(exit.info.si_code, SEGV_MAPERR);
  EXPECT_EQ(context.registers[Register::rip], layout::kArenas[0].start + 16);
}

TEST(Fault, AJumpIntoTheKernelsHalfLeavesNoLandingPadBehind) {
  constexpr uint64_t kKernels = 0xffff'fff0'0000'0000;
  Sandbox sandbox;
  GuestProgram program = generate(2);
  program.items.clear();
  program.items.push_back({.bytes = {0xff, 0xe0}});  // jmp rax
  program.registers[Register::rip] = program.placement.code;
  program.registers[Register::rax] = kKernels;
  sandbox.reset(program);
  GuestCpu& cpu = sandbox.translated(fast_translation());
  TaskContext context = sandbox.context();
  const Exit exit = cpu.run(context);
  EXPECT_EQ(exit.kind, Exit::Kind::fault);
  EXPECT_EQ(context.registers[Register::rip], kKernels);
  sandbox.cache().invalidate(0, ~uint64_t{0});
  const auto& code = *sandbox.process().shared_code();
  uint64_t first = 0;
  std::memcpy(&first, code.lookup + (kKernels & 0xffff) * sizeof first, sizeof first);
  EXPECT_EQ(first, code.lookup_miss);
}

}  // namespace
}  // namespace heddle::differential
