// The runtime's protocol: a signal that finds a thread at any instruction of it is neither lost nor
// does it make a call twice or not at all.
#include "machine/runtime/runtime.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>

#include "machine/tracee/guest_cpu.h"
#include "machine/tracee/syscall_log.h"

namespace heddle {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kCode = 0x40'0000, kData = 0x50'0000, kPage = 0x1000;
constexpr uint64_t kStackTop = kData + kPage - 64;
constexpr Ticks kBefore = 1000, kBudget = 50;

// getpid, which the runtime declines, so that the thread stands still; the call under test, with
// the carry and direction flags set; then a breakpoint.
constexpr uint8_t kGuest[] = {
    0xf9,                                      // stc
    0xfd,                                      // std
    0x48, 0xc7, 0xc0, 0x27, 0x00, 0x00, 0x00,  // mov $39, %rax
    0x0f, 0x05,                                // syscall
    0x48, 0x89, 0xd8,                          // mov %rbx, %rax
    0x0f, 0x05,                                // syscall
    0xcc,                                      // int3
};
constexpr uint64_t kFirstCall = kCode + 9, kCall = kCode + 14, kAfter = kCode + 16;

class Runtime : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/heddle-runtime-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    process_ = HostProcess::start_empty();
    for (const uint64_t page : {kCode, kData})
      process_.remote_syscall(SYS_mmap, {page, kPage, PROT_READ | PROT_WRITE | PROT_EXEC,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~0ull, 0});
    process_.memory().write(kCode, kGuest);
    log_ = std::make_unique<SyscallLog>(process_, root_ / "log");
    translator::Options options;
    options.runtime_syscalls = true;
    cache_ = std::make_shared<CodeCache>(process_.shared_code(), options);
    cpu_ = std::make_unique<GuestCpu>(process_, cache_, process_.thread(), 1);
  }
  void TearDown() override {
    process_.kill();
    fs::remove_all(root_);
  }

  // The guest at its first instruction, about to make this call.
  TaskContext guest(uint64_t number, const std::array<uint64_t, 6>& a) const {
    TaskContext context;
    context.task = 7;
    context.ticks = kBefore;
    auto& r = context.registers;
    for (size_t i = 0; i < 16; ++i) r.values[i] = 0x1111'1111'1111'1111 * i;
    r[Register::rbx] = number;
    r[Register::rdi] = a[0];
    r[Register::rsi] = a[1];
    r[Register::rdx] = a[2];
    r[Register::r10] = a[3];
    r[Register::r8] = a[4];
    r[Register::r9] = a[5];
    r[Register::rsp] = kStackTop;
    r[Register::rip] = kCode;
    r[Register::rflags] = 0x202;
    r[Register::fs_base] = 0;
    return context;
  }

  // Registers at the call under test.
  static Registers at_call(const TaskContext& start) {
    Registers r = start.registers;
    r[Register::rax] = r[Register::rbx];
    r[Register::rip] = kCall;
    r[Register::rflags] = 0x603;  // carry, direction, interrupts, and the bit that is always set
    return r;
  }
  // ... and behind it.
  static Registers behind_call(const TaskContext& start, int64_t result) {
    Registers r = at_call(start);
    r[Register::rax] = static_cast<uint64_t>(result);
    r[Register::rcx] = kAfter;
    r[Register::r11] = r[Register::rflags];
    r[Register::rip] = kAfter + 1;  // past the breakpoint
    return r;
  }

  // Runs up to just behind the first call, as if it had been served, and stands there.
  void stand(TaskContext& context) {
    cpu_->grant_calls(100);
    const Exit exit = cpu_->run(context, kBudget);
    ASSERT_EQ(exit.kind, Exit::Kind::syscall);
    ASSERT_EQ(context.registers[Register::rip], kFirstCall);
    auto regs = process_.thread().registers();
    regs.rip = state().syscall_return;
    process_.thread().set_registers(regs);
  }

  static heddle_task_state dead_state() { return {}; }
  heddle_task_state state() {
    return process_.memory()
        .load<heddle_task_state>(HostProcess::task_state(1))
        .value_or(dead_state());
  }

  uint64_t step() {
    auto& thread = process_.thread();
    EXPECT_EQ(ptrace(PTRACE_SINGLESTEP, thread.tid(), nullptr, 0), 0);
    EXPECT_TRUE(is_signal_stop(thread.wait(), SIGTRAP));
    return thread.registers().rip;
  }

  // Single-stepping lets pushf and popf see the trap flag, which is the test's and not the guest's.
  void hide_trap_flag(bool saved) {
    constexpr uint64_t kTrap = 0x100;
    const uint64_t at = HostProcess::task_state(1) + offsetof(heddle_task_state, saved_flags);
    if (saved) process_.memory().store<uint64_t>(at, state().saved_flags & ~kTrap);
    auto regs = process_.thread().registers();
    regs.eflags &= ~kTrap;
    process_.thread().set_registers(regs);
  }

  // Interrupts the call after each number of instructions in turn.
  void interrupt_everywhere(uint64_t number, const std::array<uint64_t, 6>& arguments,
                            int64_t result) {
    int declined = 0, served = 0;
    bool over = false;
    for (int steps = 0; !over; ++steps) {
      ASSERT_LT(steps, 2000);
      log_->clear(0);
      const TaskContext start = guest(number, arguments);
      TaskContext context = start;
      stand(context);
      bool hidden = false;
      for (int i = 0; i < steps; ++i) {
        const uint64_t pc = step();
        const auto* site = cache_->exit_at(pc);
        over = site && site->kind == translator::ExitKind::trap;
        const auto progress = runtime::progress(pc - layout::kRuntimeCode);
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
        ASSERT_FALSE(served) << "a later instruction is an earlier stage";
        ASSERT_EQ(log_->entries().size(), 0u);
        ASSERT_EQ(context.registers, at_call(start));
        continue;
      }
      ++served;
      ASSERT_EQ(exit.kind, Exit::Kind::fault);
      ASSERT_EQ(log_->entries().size(), 1u);
      const auto& entry = log_->entries()[0];
      EXPECT_EQ(entry.result, result);
      ASSERT_EQ(context.registers, behind_call(start, entry.result));
      ASSERT_EQ(entry.number, number);
      ASSERT_EQ(entry.task, 7u);
      ASSERT_EQ(entry.pc, kCall);
      ASSERT_EQ(entry.ticks, kBefore);
      ASSERT_TRUE(std::equal(arguments.begin(), arguments.end(), entry.arguments));
      ASSERT_EQ(entry.check, heddle_log_check(&entry, 0));
    }
    EXPECT_GT(declined, 20);
    EXPECT_GT(served, 20);
  }

  fs::path root_;
  HostProcess process_;
  std::unique_ptr<SyscallLog> log_;
  std::shared_ptr<CodeCache> cache_;
  std::unique_ptr<GuestCpu> cpu_;
};

constexpr uint64_t kWord = kData + 64;
constexpr int64_t kAgain = -11, kFault = -14;

TEST_F(Runtime, InterruptedAnywhereACallIsMadeOnce) {
  interrupt_everywhere(SYS_clock_gettime, {1, kData, 3, 4, 5, 6}, 0);
}

TEST_F(Runtime, InterruptedAnywhereAnAnswerIsGivenOnce) {
  process_.memory().store<uint32_t>(kWord, 1);
  interrupt_everywhere(SYS_futex, {kWord, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0}, kAgain);
}

TEST_F(Runtime, ServesWhatDoesNotWait) {
  process_.memory().store<uint32_t>(kWord, 1);
  const auto serve =
      [&](uint64_t number,
          const std::array<uint64_t, 6>& arguments) -> std::optional<heddle_log_entry> {
    log_->clear(5);
    TaskContext context = guest(number, arguments);
    context.registers[Register::rip] = kFirstCall + 2;
    cpu_->grant_calls(1);
    const Exit exit = cpu_->run(context);
    if (exit.kind == Exit::Kind::syscall) {
      EXPECT_EQ(log_->entries().size(), 0u);
      return std::nullopt;
    }
    EXPECT_EQ(exit.kind, Exit::Kind::fault);
    EXPECT_EQ(log_->entries().size(), 1u);
    const auto entry = log_->entries()[0];
    EXPECT_EQ(entry.check, heddle_log_check(&entry, 5));
    EXPECT_EQ(context.registers[Register::rax], static_cast<uint64_t>(entry.result));
    if (entry.effect_size != 0) {
      std::vector<uint8_t> bytes(entry.effect_size);
      process_.memory().read(entry.effect_address, bytes);
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), entry.effect));
    }
    return entry;
  };
  constexpr uint64_t kNowhere = 0x10;

  auto entry = serve(SYS_clock_gettime, {1, kData, 0, 0, 0, 0});
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->effect_size, 16u);
  entry = serve(SYS_clock_gettime, {1, kNowhere, 0, 0, 0, 0});
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->result, kFault);
  EXPECT_EQ(entry->effect_size, 0u);
  entry = serve(SYS_gettimeofday, {kData, 0, 0, 0, 0, 0});
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->effect_size, 16u);
  EXPECT_FALSE(serve(SYS_gettimeofday, {kData, kData + 32, 0, 0, 0, 0}));
  entry = serve(SYS_time, {kData, 0, 0, 0, 0, 0});
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->effect_size, 8u);
  entry = serve(SYS_time, {0, 0, 0, 0, 0, 0});
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->effect_size, 0u);

  entry = serve(SYS_futex, {kWord, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0});
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->result, 0);
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_WAIT_PRIVATE, 1, 0, 0, 0}));
  entry = serve(SYS_futex, {kWord, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0});
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->result, kAgain);
  EXPECT_TRUE(serve(SYS_futex, {kWord, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 2, 0, 0, ~0u}));
  // What the kernel would find wrong first is left to it.
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_WAIT_BITSET, 2, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_futex, {kWord + 1, FUTEX_WAIT, 2, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_futex, {kNowhere, FUTEX_WAIT, 2, 0, 0, 0}));
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_WAIT, 2, kNowhere, 0, 0}));
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_LOCK_PI, 2, 0, 0, 0}));
  process_.memory().store<std::array<int64_t, 2>>(kData + 128, {0, 1'000'000'000});
  EXPECT_FALSE(serve(SYS_futex, {kWord, FUTEX_WAIT, 2, kData + 128, 0, 0}));
  process_.memory().store<std::array<int64_t, 2>>(kData + 128, {0, 999'999'999});
  EXPECT_TRUE(serve(SYS_futex, {kWord, FUTEX_WAIT, 2, kData + 128, 0, 0}));
  EXPECT_FALSE(serve(SYS_getpid, {0, 0, 0, 0, 0, 0}));
}

TEST_F(Runtime, DeclinesWhenTheGrantIsUsedUpAndWhenTheLogIsFull) {
  const auto exit = [&](uint64_t calls) {
    TaskContext context = guest(SYS_clock_gettime, {1, kData, 0, 0, 0, 0});
    context.registers[Register::rip] = kFirstCall + 2;
    cpu_->grant_calls(calls);
    return cpu_->run(context).kind;
  };
  EXPECT_EQ(exit(0), Exit::Kind::syscall);
  for (uint32_t i = 0; i < SyscallLog::kCapacity; ++i) ASSERT_EQ(exit(1), Exit::Kind::fault);
  EXPECT_EQ(exit(1), Exit::Kind::syscall);
  EXPECT_EQ(log_->entries().size(), SyscallLog::kCapacity);
  log_->clear(SyscallLog::kCapacity);
  EXPECT_EQ(exit(1), Exit::Kind::fault);
}

}  // namespace
}  // namespace heddle
