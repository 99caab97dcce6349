// A guest's code in this very process: exits, faults, registers.
#include "machine/resident/resident_cpu.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "machine/pages.h"

namespace heddle {
namespace {

constexpr uint64_t kCode = 0x40'0000, kData = 0x50'0000;

class ResidentCpuTest : public testing::Test {
 protected:
  void start(std::initializer_list<uint8_t> code, const translator::Options& options = {}) {
    try {
      memory_ = std::make_unique<ResidentMemory>();
      cpu_ = std::make_unique<ResidentCpu>(*memory_, options);
    } catch (const ResidentUnavailable& why) {
      GTEST_SKIP() << why.what();
    }
    memory_->map(kCode, kPage, PROT_READ | PROT_EXEC);
    memory_->map(kData, kPage, PROT_READ | PROT_WRITE);
    memory_->write(kCode, std::vector<uint8_t>(code));
    context_.task = 1;
    context_.registers[Register::rip] = kCode;
    context_.registers[Register::rsp] = kData + kPage;
    context_.registers[Register::rflags] = 0x202;
    context_.registers[Register::rax] = 5;
    context_.registers[Register::rbx] = kData;
  }
  Exit run(Ticks budget = 1000, uint64_t points = GuestCpu::kUnlimited) {
    return cpu_->run(context_, extended_, budget, points);
  }
  uint64_t reg(Register r) const { return context_.registers[r]; }

  std::unique_ptr<ResidentMemory> memory_;
  std::unique_ptr<ResidentCpu> cpu_;
  TaskContext context_;
  ExtendedRegisters extended_;
};

TEST_F(ResidentCpuTest, LeavesAtASystemCall) {
  start({0x48, 0x89, 0x03,              // mov %rax, (%rbx)
         0x66, 0x48, 0x0f, 0x6e, 0xc0,  // movq %rax, %xmm0
         0x0f, 0x05});                  // syscall
  if (IsSkipped()) return;
  EXPECT_EQ(run().kind, Exit::Kind::syscall);
  EXPECT_EQ(reg(Register::rip), kCode + 8);
  EXPECT_EQ(memory_->load<uint64_t>(kData), 5u);
  const auto raw = extended_.raw();
  EXPECT_EQ(raw[160], 5);  // xmm0 (Intel SDM vol. 1, 13.4.1)
}

TEST_F(ResidentCpuTest, CountsTicksAndGoesOn) {
  start({0x48, 0xff, 0xc0,  // inc %rax
         0xeb, 0xfb});      // jmp to it
  if (IsSkipped()) return;
  EXPECT_EQ(run(7).kind, Exit::Kind::budget);
  EXPECT_EQ(context_.ticks, 7u);
  EXPECT_EQ(reg(Register::rax), 12u);
  EXPECT_EQ(run(3).kind, Exit::Kind::budget);
  EXPECT_EQ(context_.ticks, 10u);
  EXPECT_EQ(reg(Register::rax), 15u);
  EXPECT_EQ(reg(Register::rip), kCode);
}

TEST_F(ResidentCpuTest, ReportsFaults) {
  start({0x90,                // nop
         0x48, 0x8b, 0x08});  // mov (%rax), %rcx
  if (IsSkipped()) return;
  const Exit exit = run();
  EXPECT_EQ(exit.kind, Exit::Kind::fault);
  EXPECT_EQ(exit.info.si_signo, SIGSEGV);
  EXPECT_EQ(exit.info.si_addr, reinterpret_cast<void*>(5));
  EXPECT_EQ(reg(Register::rip), kCode + 1);
  EXPECT_EQ(reg(Register::rax), 5u);
}

TEST_F(ResidentCpuTest, CallsAndReturns) {
  start({0xe8, 0x02, 0x00, 0x00, 0x00,  // call over the next
         0x0f, 0x05,                    // syscall
         0x48, 0x01, 0xc0,              // add %rax, %rax
         0xc3});                        // ret
  if (IsSkipped()) return;
  EXPECT_EQ(run().kind, Exit::Kind::syscall);
  EXPECT_EQ(reg(Register::rax), 10u);
  EXPECT_EQ(reg(Register::rsp), kData + kPage);
  EXPECT_EQ(context_.ticks, 1u);  // the return: the call went forward
}

TEST_F(ResidentCpuTest, LeavesAtAccessPoints) {
  const std::set<uint64_t> points{kCode};
  translator::Options options;
  options.points = &points;
  start({0xff, 0x03,   // incl (%rbx)
         0x0f, 0x05},  // syscall
        options);
  if (IsSkipped()) return;
  EXPECT_EQ(run(1000, 1).kind, Exit::Kind::point);
  EXPECT_EQ(context_.phase, 0);
  EXPECT_EQ(run(1000, 2).kind, Exit::Kind::point);
  EXPECT_EQ(context_.phase, 1);
  // Between its load and its store somebody else's store is lost.
  memory_->store<uint32_t>(kData, 40);
  EXPECT_EQ(run().kind, Exit::Kind::syscall);
  EXPECT_EQ(memory_->load<uint32_t>(kData), 1u);
}

TEST_F(ResidentCpuTest, StopsExactly) {
  start({0x48, 0xff, 0xc0,  // inc %rax
         0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0x0f, 0x05});
  if (IsSkipped()) return;
  EXPECT_EQ(cpu_->run_exact(context_, extended_, {kCode + 6, 0}).kind, Exit::Kind::stop);
  EXPECT_EQ(reg(Register::rax), 7u);
  EXPECT_EQ(run().kind, Exit::Kind::syscall);
  EXPECT_EQ(reg(Register::rax), 8u);
}

}  // namespace
}  // namespace heddle
