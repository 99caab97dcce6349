// The runtime's protocol: a signal that finds a thread at any instruction of it is neither lost nor
// does it make a call twice or not at all.
#include "machine/runtime/runtime.h"

#include <linux/futex.h>

#include <cstddef>

#include "tests/unit/tracee/runtime_fixture.h"

namespace heddle {
namespace {

class Interruptions : public Runtime {
 protected:
  // Single-stepping lets pushf and popf see the trap flag, which is the test's and not the guest's.
  void hide_trap_flag(bool saved) {
    constexpr uint64_t kTrap = 0x100;
    const uint64_t at = HostProcess::task_state(1) + offsetof(heddle_task_state, saved_flags);
    if (saved) process_.memory().store<uint64_t>(at, state().saved_flags & ~kTrap);
    auto regs = process_.thread().registers();
    regs.eflags &= ~kTrap;
    process_.thread().set_registers(regs);
  }

  // Interrupts the call after each number of instructions in turn, or each `stride`th. (A clock may
  // take more of them at one time than at another.)
  void interrupt_everywhere(uint64_t number, const std::array<uint64_t, 6>& arguments,
                            int64_t result, int stride = 1) {
    int declined = 0, served = 0, exact = 0;
    bool over = false;
    for (int steps = 0; !over; steps += stride) {
      ASSERT_LT(steps, 5000);
      log_->clear(0);
      const TaskContext start = guest(number, arguments);
      TaskContext context = start;
      stand(context);
      bool hidden = false, called = false;
      for (int i = 0; i < steps && !over; ++i) {
        const uint64_t pc = step();
        const auto* site = cache_->exit_at(pc);
        over = site && site->kind == translator::ExitKind::trap;
        const auto progress = runtime::progress(pc - layout::kRuntimeCode);
        called = called || (progress && progress->called);
        if (!hidden && progress && progress->flags_saved) {
          hide_trap_flag(true);
          hidden = true;
        }
      }
      hide_trap_flag(false);
      cpu_->keep_running(true);
      const Exit exit = cpu_->wait(context);
      SCOPED_TRACE("after " + std::to_string(steps) + " instructions");
      ASSERT_EQ(context.ticks, kBefore);
      if (exit.kind == Exit::Kind::syscall) {
        ++declined;
        ASSERT_FALSE(called);
        ASSERT_TRUE(log_->entries().empty());
        ASSERT_EQ(context.registers, at_call(start));
        continue;
      }
      ++served;
      ASSERT_TRUE(called);
      const auto& entry = only_entry();
      EXPECT_EQ(entry.result, result);
      auto behind = behind_call(start, entry.result);
      if (exit.kind == Exit::Kind::budget) {
        // Found in the runtime, with the call made: just behind the instruction.
        behind[Register::rip] = kAfter;
        behind[Register::rflags] = context.registers[Register::rflags];  // canonical there
        ++exact;
      } else {
        ASSERT_EQ(exit.kind, Exit::Kind::fault);
      }
      ASSERT_EQ(context.registers, behind);
      ASSERT_EQ(entry.number, number);
      ASSERT_EQ(entry.task, 7u);
      ASSERT_EQ(entry.pc, kCall);
      ASSERT_EQ(entry.ticks, kBefore);
      ASSERT_TRUE(std::equal(arguments.begin(), arguments.end(), entry.arguments));
      ASSERT_EQ(entry.check, heddle_log_check(&entry, 0, 0));
    }
    EXPECT_GT(declined, 20 / stride);
    EXPECT_GT(served, 20 / stride);
    EXPECT_GT(exact, 10 / stride);
  }
};

constexpr uint64_t kWord = kData + 64;
constexpr int64_t kAgain = -11, kBadDescriptor = -9;

TEST_F(Interruptions, InterruptedAnywhereACallIsMadeOnce) {
  process_.memory().store<uint64_t>(kData, 0);
  interrupt_everywhere(SYS_lseek, {~0ull, kData, 3, 4, 5, 6}, kBadDescriptor);
}

TEST_F(Interruptions, InterruptedAnywhereAClockIsReadOnce) {
  if (!data().clock_gettime) GTEST_SKIP() << "the kernel gives programs no vDSO that is like ours";
  interrupt_everywhere(SYS_clock_gettime, {1, kData, 3, 4, 5, 6}, 0, 3);
}

TEST_F(Interruptions, InterruptedAnywhereAnAnswerIsGivenOnce) {
  process_.memory().store<uint32_t>(kWord, 1);
  interrupt_everywhere(SYS_futex, {kWord, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0}, kAgain);
}

TEST_F(Interruptions, InterruptedAnywhereMemoryIsChangedOnce) {
  process_.memory().store<uint64_t>(
      layout::kRuntimeData.start + offsetof(heddle_runtime_data, maps), 1);
  const auto mapped =
      serve(SYS_mmap, {0, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0});
  ASSERT_TRUE(mapped);
  const auto at = static_cast<uint64_t>(mapped->result);
  interrupt_everywhere(SYS_mprotect, {at, kPage, PROT_READ, 4, 5, 6}, 0, 3);
}

TEST_F(Runtime, DeclinesWhenTheGrantIsUsedUpAndWhenTheLogIsFull) {
  const auto exit = [&](uint64_t calls) {
    TaskContext context = guest(SYS_clock_gettime, {1, kData, 0, 0, 0, 0});
    context.registers[Register::rip] = kFirstCall + 2;
    cpu_->grant_calls(calls);
    return cpu_->run(context).kind;
  };
  EXPECT_EQ(exit(0), Exit::Kind::syscall);
  uint32_t served = 0;
  while (exit(1) == Exit::Kind::fault) ++served;
  EXPECT_EQ(entry_count(log_->entries()), served);
  const size_t each = log_->entries().size() / served;
  EXPECT_LT(SyscallLog::kCapacity - log_->entries().size(), 2 * each);
  log_->clear(served);
  EXPECT_EQ(exit(1), Exit::Kind::fault);
}

}  // namespace
}  // namespace heddle
