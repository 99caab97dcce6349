// A guest of a few instructions that makes one system call, for tests of the runtime.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include "machine/pages.h"
#include "machine/runtime/served_calls.h"
#include "machine/tracee/guest_cpu.h"
#include "machine/tracee/native_clock.h"
#include "machine/tracee/syscall_log.h"
#include "trace_format/logged_calls.h"

namespace heddle {

namespace fs = std::filesystem;

inline constexpr uint64_t kCode = 0x40'0000, kData = 0x50'0000;
inline constexpr uint64_t kStackTop = kData + kPage - 64;
inline constexpr Ticks kBefore = 1000, kBudget = 50;

// sched_yield, which the runtime declines, so that the thread stands still; the call under test,
// with the carry and direction flags set; then a breakpoint.
inline constexpr uint8_t kGuest[] = {
    0xf9,                                      // stc
    0xfd,                                      // std
    0x48, 0xc7, 0xc0, 0x18, 0x00, 0x00, 0x00,  // mov $24, %rax
    0x0f, 0x05,                                // syscall
    0x48, 0x89, 0xd8,                          // mov %rbx, %rax
    0x0f, 0x05,                                // syscall
    0xcc,                                      // int3
};
inline constexpr uint64_t kFirstCall = kCode + 9, kCall = kCode + 14, kAfter = kCode + 16;

class Runtime : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/heddle-runtime-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    Program never_run;
    never_run.path = "/proc/self/exe";
    never_run.arguments = {"runtime_test"};
    process_ = HostProcess::start(never_run);
    process_.install();
    place_clock(process_);
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

  static heddle_runtime_data no_data() { return {}; }
  heddle_runtime_data data() {
    return process_.memory()
        .load<heddle_runtime_data>(layout::kRuntimeData.start)
        .value_or(no_data());
  }

  uint64_t step() {
    auto& thread = process_.thread();
    EXPECT_EQ(ptrace(PTRACE_SINGLESTEP, thread.tid(), nullptr, 0), 0);
    EXPECT_TRUE(is_signal_stop(thread.wait(), SIGTRAP));
    return thread.registers().rip;
  }

  // The entry of the log, which must be the only one.
  const heddle_log_entry& only_entry() {
    const auto entries = log_->entries();
    EXPECT_EQ(entry_size(entries), entries.size());
    return *reinterpret_cast<const heddle_log_entry*>(entries.data());
  }

  // Makes the call. What the runtime logged of it, or nothing where it left the call alone.
  std::optional<event::Syscall> serve(uint64_t number, const std::array<uint64_t, 6>& arguments) {
    constexpr uint64_t kEvent = 5;
    log_->clear(kEvent);
    TaskContext context = guest(number, arguments);
    context.registers[Register::rip] = kFirstCall + 2;
    cpu_->grant_calls(1);
    const Exit exit = cpu_->run(context);
    if (exit.kind == Exit::Kind::syscall) {
      EXPECT_TRUE(log_->entries().empty());
      auto before = at_call(guest(number, arguments));
      before[Register::rflags] = guest(number, arguments).registers[Register::rflags];
      EXPECT_EQ(context.registers, before);
      return std::nullopt;
    }
    EXPECT_EQ(exit.kind, Exit::Kind::fault);
    const auto& entry = only_entry();
    EXPECT_EQ(entry.check, heddle_log_check(&entry, kEvent, 0));
    const auto event = logged_call(log_->entries(), kEvent, 0);
    auto call = std::get<event::Syscall>(event.body);
    EXPECT_EQ(call.number, number);
    EXPECT_EQ(call.arguments, arguments);
    EXPECT_EQ(context.registers[Register::rax], static_cast<uint64_t>(call.result));
    for (const auto& effect : call.effects) {
      std::vector<uint8_t> bytes(effect.bytes.size());
      process_.memory().read(effect.address, bytes);
      EXPECT_EQ(bytes, effect.bytes);
    }
    return call;
  }

  fs::path root_;
  HostProcess process_;
  std::unique_ptr<SyscallLog> log_;
  std::shared_ptr<CodeCache> cache_;
  std::unique_ptr<GuestCpu> cpu_;
};

}  // namespace heddle
