// What a cpuid instruction answers in the tracee, and what it leaves alone.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>

#include "machine/pages.h"
#include "machine/tracee/code_cache.h"
#include "machine/tracee/cpuid_table.h"
#include "machine/tracee/guest_cpu.h"

namespace heddle {
namespace {

constexpr uint64_t kCode = 0x1'0000'0000, kStackTop = kCode + 2 * kPage - 64;
constexpr std::array<uint8_t, 5> kGuest{
    0xf9,        // stc
    0x0f, 0xa2,  // cpuid
    0xcc,        // int3
    0xcc,
};

class Cpuid : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    process_ = HostProcess::start_empty();
    process_.remote_syscall(SYS_mmap, {kCode, 2 * kPage, PROT_READ | PROT_WRITE | PROT_EXEC,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~0ull, 0});
    process_.memory().write(kCode, kGuest);
    translator::Options options;
    options.fast = GetParam();
    cache_ = std::make_shared<CodeCache>(process_.shared_code(), options);
    cpu_ = std::make_unique<GuestCpu>(process_, cache_, process_.thread(), 1);
    for (size_t i = 0; i < 16; ++i) context_.registers.values[i] = 0x1111'1111'1111'1111 * i;
    context_.task = 1;
    context_.registers[Register::rsp] = kStackTop;
    context_.registers[Register::rip] = kCode;
    context_.registers[Register::rflags] = 0x202;
    context_.registers[Register::fs_base] = 0;
    for (uint64_t at = kStackTop - 256; at < kStackTop; at += 8)
      process_.memory().store<uint64_t>(at, at);
  }
  void TearDown() override { process_.kill(); }

  Exit ask(uint64_t rax, uint64_t rcx) {
    context_.registers[Register::rax] = rax;
    context_.registers[Register::rcx] = rcx;
    return cpu_->run(context_, 1000);
  }
  // All but the four that the instruction sets, the flags and what lies below the stack.
  void expect_the_rest_is_untouched() {
    for (const Register r :
         {Register::rsi, Register::rdi, Register::rbp, Register::r8, Register::r9, Register::r10,
          Register::r11, Register::r12, Register::r13, Register::r14, Register::r15})
      EXPECT_EQ(context_.registers[r], 0x1111'1111'1111'1111 * static_cast<uint64_t>(r));
    EXPECT_EQ(context_.registers[Register::rsp], kStackTop);
    EXPECT_EQ(context_.ticks, 0u);
    for (uint64_t at = kStackTop - 256; at < kStackTop; at += 8)
      EXPECT_EQ(process_.memory().load<uint64_t>(at), at);
  }

  HostProcess process_;
  std::shared_ptr<CodeCache> cache_;
  std::unique_ptr<GuestCpu> cpu_;
  TaskContext context_;
};

TEST_P(Cpuid, IsAnsweredByItsLeafAndSubleaf) {
  const std::array<event::CpuidEntry, 3> answers{
      {{1, 0, true, 11, 12, 13, 14}, {7, 0, false, 21, 22, 23, 24}, {7, 1, false, 31, 32, 33, 34}}};
  place_cpuid_answers(process_.memory(), answers);
  const Exit exit = ask(0xffff'ffff'0000'0007, 1);
  EXPECT_EQ(exit.kind, Exit::Kind::fault);  // the breakpoint behind it
  EXPECT_EQ(context_.registers[Register::rax], 31u);
  EXPECT_EQ(context_.registers[Register::rbx], 32u);
  EXPECT_EQ(context_.registers[Register::rcx], 33u);
  EXPECT_EQ(context_.registers[Register::rdx], 34u);
  expect_the_rest_is_untouched();
}

TEST_P(Cpuid, MayHaveOneAnswerForAllSubleaves) {
  place_cpuid_answers(process_.memory(),
                      std::array<event::CpuidEntry, 1>{{{1, 0, true, 1, 2, 3, 4}}});
  EXPECT_EQ(ask(1, 99).kind, Exit::Kind::fault);
  EXPECT_EQ(context_.registers[Register::rdx], 4u);
}

TEST_P(Cpuid, StopsWhereThereIsNoAnswer) {
  place_cpuid_answers(process_.memory(),
                      std::array<event::CpuidEntry, 1>{{{7, 0, false, 1, 2, 3, 4}}});
  const Exit exit = ask(7, 1);
  ASSERT_EQ(exit.kind, Exit::Kind::special);
  EXPECT_EQ(exit.site->special, translator::SpecialInstruction::cpuid);
  EXPECT_EQ(context_.registers[Register::rip], kCode + 1);
  EXPECT_EQ(context_.registers[Register::rax], 7u);
  EXPECT_EQ(context_.registers[Register::rcx], 1u);
  EXPECT_EQ(context_.registers[Register::rdx], 0x2222'2222'2222'2222u);
  EXPECT_EQ(context_.registers[Register::rbx], 0x3333'3333'3333'3333u);
  expect_the_rest_is_untouched();
}

INSTANTIATE_TEST_SUITE_P(FastOrNot, Cpuid, testing::Bool());

TEST(CpuidTable, HoldsSoMany) {
  auto process = HostProcess::start_empty();
  EXPECT_THROW(place_cpuid_answers(process.memory(), std::vector<event::CpuidEntry>(128)),
               std::runtime_error);
  process.kill();
}

}  // namespace
}  // namespace heddle
