#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/unit/explorer/model/kernel_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FaultsTest : public KernelTest {
 protected:
  FaultsTest() {
    result(1, SYS_pipe2, {kData, O_NONBLOCK});
    reads = word(kData);
    writes = word(kData + 4);
    result(1, SYS_pipe2, {kData, 0});
    waiting_reads = word(kData);
    waiting_writes = word(kData + 4);
  }
  SyscallRequest request(TaskId task, uint64_t number, std::array<uint64_t, 6> arguments) {
    SyscallRequest r;
    r.number = number;
    r.arguments = arguments;
    r.place = {task, 0, 0x1000, 0};
    return r;
  }
  std::vector<std::string> faults(TaskId task, uint64_t number, std::array<uint64_t, 6> arguments) {
    std::vector<std::string> texts;
    for (const Fault& fault : kernel().faults(request(task, number, arguments), memory))
      texts.push_back(fault_text(fault));
    return texts;
  }
  SyscallAnswer with(const char* fault, TaskId task, uint64_t number,
                     std::array<uint64_t, 6> arguments) {
    SyscallAnswer answer =
        kernel().answer(request(task, number, arguments), memory, parse_fault(fault));
    memory.apply(answer.effects);
    return answer;
  }
  // Installs a handler for SIGUSR1.
  void handle(uint64_t flags) {
    memory.store(kData + 0x100, uint64_t{0x5000});    // handler
    memory.store(kData + 0x108, flags | 0x04000000);  // SA_RESTORER
    memory.store(kData + 0x110, uint64_t{0x6000});
    memory.store(kData + 0x118, uint64_t{0});
    EXPECT_EQ(result(1, SYS_rt_sigaction, {SIGUSR1, kData + 0x100, 0, 8}), 0);
  }
  uint64_t reads = 0, writes = 0, waiting_reads = 0, waiting_writes = 0;
};

TEST_F(FaultsTest, MemoryAndThreadsCanBeRefused) {
  const std::array<uint64_t, 6> map{0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0};
  EXPECT_THAT(faults(1, SYS_mmap, map), ElementsAre("nomem"));
  EXPECT_EQ(with("nomem", 1, SYS_mmap, map).result, -ENOMEM);
  EXPECT_EQ(with("nomem", 1, SYS_clone, {0x10100, 0x7000}).result, -EAGAIN);
  EXPECT_THAT(runnable(), ElementsAre(1));
  EXPECT_THAT(faults(1, SYS_getpid, {}), IsEmpty());
}

TEST_F(FaultsTest, AReadOfAPipeMovesLess) {
  store_text(kBuffer, "abcdef");
  result(1, SYS_write, {writes, kBuffer, 6});
  EXPECT_THAT(faults(1, SYS_read, {reads, kBuffer + 64, 6}),
              ElementsAre("short:1", "short:3", "late"));
  EXPECT_EQ(with("short:3", 1, SYS_read, {reads, kBuffer + 64, 6}).result, 3);
  EXPECT_EQ(text(kBuffer + 64, 4), std::string("abc\0", 4));
  EXPECT_EQ(result(1, SYS_read, {reads, kBuffer + 64, 6}), 3);
  EXPECT_EQ(text(kBuffer + 64, 3), "def");
}

TEST_F(FaultsTest, AWriteMovesLess) {
  store_text(kBuffer, "abcdef");
  EXPECT_EQ(with("short:1", 1, SYS_write, {1, kBuffer, 6}).result, 1);
  EXPECT_EQ(kernel().output(1), "a");
}

TEST_F(FaultsTest, NothingIsShorterThanWhatThereIs) {
  store_text(kBuffer, "ab");
  result(1, SYS_write, {writes, kBuffer, 2});
  EXPECT_THAT(faults(1, SYS_read, {reads, kBuffer, 600}), ElementsAre("short:1", "late"));
  EXPECT_THAT(faults(1, SYS_read, {reads, kBuffer, 1}), ElementsAre("late"));
}

TEST_F(FaultsTest, AnEventCounterIsReadWhole) {
  const auto counter = static_cast<uint64_t>(result(1, SYS_eventfd2, {3, 0}));
  EXPECT_THAT(faults(1, SYS_read, {counter, kBuffer, 8}), IsEmpty());
}

TEST_F(FaultsTest, OnlyWhatWaitsIsInterruptedAndOnlyIfSomethingCan) {
  const std::array<uint64_t, 6> read{waiting_reads, kBuffer, 8};
  thread();
  EXPECT_THAT(faults(1, SYS_read, read), IsEmpty());
  handle(SA_RESTART);
  EXPECT_THAT(faults(1, SYS_read, read), IsEmpty());
  handle(0);
  EXPECT_THAT(faults(1, SYS_read, read), ElementsAre("eintr"));
  EXPECT_EQ(with("eintr", 1, SYS_read, read).kind, SyscallAnswer::Kind::blocks);
  EXPECT_THAT(runnable(), testing::UnorderedElementsAre(1, 2));
  EXPECT_EQ(collected(1), -EINTR);
}

TEST_F(FaultsTest, ASleepIsInterruptedWithItsRest) {
  store_time(kData, 2, 0);
  EXPECT_THAT(faults(1, SYS_nanosleep, {kData, kBuffer}), ElementsAre("eintr"));
  with("eintr", 1, SYS_nanosleep, {kData, kBuffer});
  EXPECT_EQ(collected(1), -EINTR);
  EXPECT_EQ(quad(kBuffer), 2u);
}

TEST_F(FaultsTest, ReadinessComesAfterTheTimeLimit) {
  store_text(kBuffer, "a");
  result(1, SYS_write, {waiting_writes, kBuffer, 1});
  memory.store(kData, pollfd{static_cast<int>(waiting_reads), POLLIN, 0});
  EXPECT_THAT(faults(1, SYS_poll, {kData, 1, 5}), ElementsAre("late"));
  EXPECT_THAT(faults(1, SYS_poll, {kData, 1, ~0ull}), IsEmpty());
  EXPECT_EQ(with("late", 1, SYS_poll, {kData, 1, 5}).kind, SyscallAnswer::Kind::blocks);
  const uint64_t before = kernel().now_ns();
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(collected(1), 0);
  EXPECT_GE(kernel().now_ns(), before + 4'999'000);
  EXPECT_EQ(result(1, SYS_poll, {kData, 1, 5}), 1);
}

TEST_F(FaultsTest, AnotherWaiterIsWokenFirst) {
  thread();
  thread();
  blocks(2, SYS_futex, {kBuffer, FUTEX_WAIT, 0, 0});
  blocks(3, SYS_futex, {kBuffer, FUTEX_WAIT, 0, 0});
  EXPECT_THAT(faults(1, SYS_futex, {kBuffer, FUTEX_WAKE, 2}), IsEmpty());
  EXPECT_THAT(faults(1, SYS_futex, {kBuffer, FUTEX_WAKE, 1}), ElementsAre("wake:1"));
  EXPECT_EQ(with("wake:1", 1, SYS_futex, {kBuffer, FUTEX_WAKE, 1}).result, 1);
  EXPECT_THAT(runnable(), ElementsAre(1, 3));
}

TEST_F(FaultsTest, WhatCannotHappenIsInfeasible) {
  const SyscallAnswer answer = with("late", 1, SYS_getpid, {});
  EXPECT_EQ(answer.kind, SyscallAnswer::Kind::infeasible);
  EXPECT_EQ(answer.reason, "the fault late cannot happen in that call");
}

}  // namespace
}  // namespace heddle
