#include <errno.h>
#include <linux/futex.h>

#include "tests/unit/explorer/model/kernel_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = SyscallAnswer::Kind;

constexpr uint64_t kPrivate = FUTEX_PRIVATE_FLAG;

class FutexTest : public KernelTest {
 protected:
  static constexpr uint64_t kOther = kData + 64;

  FutexTest() {
    recorded.call(1, SYS_set_tid_address, {kData + 0x100}, kPid);
    for (int i = 0; i < 4; ++i) thread();
  }
  void waits(TaskId task, uint64_t address = kData, uint32_t value = 0) {
    blocks(task, SYS_futex, {address, FUTEX_WAIT | kPrivate, value});
  }
  int64_t wake(TaskId task, uint64_t count, uint64_t address = kData) {
    return result(task, SYS_futex, {address, FUTEX_WAKE | kPrivate, count});
  }
};

TEST_F(FutexTest, AWaiterIsWokenWithZero) {
  waits(2);
  EXPECT_THAT(runnable(), ElementsAre(1, 3, 4, 5));
  EXPECT_EQ(wake(1, 1), 1);
  EXPECT_THAT(runnable(), ElementsAre(1, 3, 4, 5, 2));
  EXPECT_EQ(collected(2), 0);
}

TEST_F(FutexTest, AnotherValueIsNotWaitedFor) {
  store(kData, 7);
  EXPECT_EQ(result(2, SYS_futex, {kData, FUTEX_WAIT, 6}), -EAGAIN);
  EXPECT_EQ(result(2, SYS_futex, {kUnmapped, FUTEX_WAIT, 6}), -EFAULT);
  EXPECT_EQ(result(2, SYS_futex, {kData + 1, FUTEX_WAIT, 6}), -EINVAL);
}

TEST_F(FutexTest, WaitersAreWokenInTheirOrder) {
  waits(3);
  waits(2);
  waits(4);
  EXPECT_EQ(wake(1, 2), 2);
  EXPECT_THAT(runnable(), ElementsAre(1, 5, 3, 2));
  EXPECT_EQ(wake(1, 100), 1);
  EXPECT_EQ(wake(1, 100), 0);
}

TEST_F(FutexTest, WakingNoneWakesOneAsLinuxDoes) {
  waits(2);
  waits(3);
  EXPECT_EQ(wake(1, 0), 1);
}

TEST_F(FutexTest, OtherWordsAreOthers) {
  waits(2);
  EXPECT_EQ(wake(1, 1, kData + 4), 0);
}

TEST_F(FutexTest, BitsSelectWaiters) {
  blocks(2, SYS_futex, {kData, FUTEX_WAIT_BITSET, 0, 0, 0, 0b01});
  blocks(3, SYS_futex, {kData, FUTEX_WAIT_BITSET, 0, 0, 0, 0b10});
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_WAKE_BITSET, 9, 0, 0, 0b10}), 1);
  EXPECT_EQ(collected(3), 0);
  EXPECT_EQ(wake(1, 9), 1);
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_WAKE_BITSET, 9, 0, 0, 0}), -EINVAL);
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_WAIT_BITSET, 0, 0, 0, 0}), -EINVAL);
}

TEST_F(FutexTest, ARelativeTimeLimitEndsTheWait) {
  store_time(kBuffer, 0, 5000);
  blocks(2, SYS_futex, {kData, FUTEX_WAIT, 0, kBuffer});
  EXPECT_THAT(kernel().sleepers(), ElementsAre(2));
  kernel().ran(4999);
  EXPECT_THAT(runnable(), ElementsAre(1, 3, 4, 5));
  kernel().ran(1);
  EXPECT_THAT(runnable(), ElementsAre(1, 3, 4, 5, 2));
  EXPECT_EQ(collected(2), -ETIMEDOUT);
  EXPECT_EQ(wake(1, 1), 0) << "it is gone from the queue";
}

TEST_F(FutexTest, AnAbsoluteTimeLimitIsOfTheClockThatIsNamed) {
  for (const auto& [clock, flags] :
       {std::pair{CLOCK_MONOTONIC, 0}, std::pair{CLOCK_REALTIME, FUTEX_CLOCK_REALTIME}}) {
    ASSERT_EQ(result(2, SYS_clock_gettime, {static_cast<uint64_t>(clock), kBuffer}), 0);
    memory.store(kBuffer + 8, quad(kBuffer + 8) + 50'000);
    blocks(2, SYS_futex,
           {kData, static_cast<uint64_t>(FUTEX_WAIT_BITSET | flags), 0, kBuffer, 0, ~0u});
    const uint64_t before = kernel().now_ns();
    kernel().advance_to(2);
    EXPECT_NEAR(static_cast<double>(kernel().now_ns() - before), 50'000, 1000);
    EXPECT_EQ(collected(2), -ETIMEDOUT);
  }
}

TEST_F(FutexTest, ATimeThatIsNoneIsRefused) {
  store_time(kBuffer, 0, 1'000'000'000);
  EXPECT_EQ(result(2, SYS_futex, {kData, FUTEX_WAIT, 0, kBuffer}), -EINVAL);
  EXPECT_EQ(result(2, SYS_futex, {kData, FUTEX_WAIT, 0, kUnmapped}), -EFAULT);
}

TEST_F(FutexTest, RequeueMovesWaiters) {
  for (const TaskId task : {2, 3, 4, 5}) waits(task);
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_REQUEUE, 1, 2, kOther}), 1);
  EXPECT_EQ(wake(1, 9, kOther), 2);
  EXPECT_THAT(runnable(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(wake(1, 9), 1);
}

TEST_F(FutexTest, CompareAndRequeueLooksAtTheWord) {
  for (const TaskId task : {2, 3, 4}) waits(task);
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_CMP_REQUEUE, 1, 9, kOther, 5}), -EAGAIN);
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_CMP_REQUEUE, 1, 9, kOther, 0}), 3);
  EXPECT_THAT(runnable(), ElementsAre(1, 5, 2));
  EXPECT_EQ(wake(1, 9, kOther), 2);
}

TEST_F(FutexTest, MovedWaitersKeepTheirTimeLimit) {
  store_time(kBuffer, 0, 5000);
  blocks(2, SYS_futex, {kData, FUTEX_WAIT, 0, kBuffer});
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_CMP_REQUEUE, 0, 9, kOther, 0}), 1);
  kernel().advance_to(2);
  EXPECT_EQ(collected(2), -ETIMEDOUT);
  EXPECT_EQ(wake(1, 9, kOther), 0);
}

TEST_F(FutexTest, WakeOpChangesTheSecondWordAndWakesByItsOldValue) {
  store(kOther, 5);
  waits(2);
  waits(3, kOther, 5);
  // kOther += 2; wake there if it was 5.
  EXPECT_EQ(
      result(1, SYS_futex,
             {kData, FUTEX_WAKE_OP, 9, 9, kOther, FUTEX_OP(FUTEX_OP_ADD, 2, FUTEX_OP_CMP_EQ, 5)}),
      2);
  EXPECT_EQ(word(kOther), 7u);
  waits(2);
  waits(3, kOther, 7);
  EXPECT_EQ(
      result(1, SYS_futex,
             {kData, FUTEX_WAKE_OP, 9, 9, kOther, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_LT, 7)}),
      1);
  EXPECT_EQ(word(kOther), 1u);
}

TEST_F(FutexTest, WakeOpHasEveryOperation) {
  const auto operate = [&](uint32_t operation, uint32_t operand) {
    store(kOther, 0b1100);
    EXPECT_EQ(
        result(1, SYS_futex, {kData, FUTEX_WAKE_OP, 1, 1, kOther, operation << 28 | operand << 12}),
        0);
    return word(kOther);
  };
  EXPECT_EQ(operate(FUTEX_OP_SET, 3), 3u);
  EXPECT_EQ(operate(FUTEX_OP_ADD, 0xfff), 11u);  // -1
  EXPECT_EQ(operate(FUTEX_OP_OR, 3), 0b1111u);
  EXPECT_EQ(operate(FUTEX_OP_ANDN, 4), 0b1000u);
  EXPECT_EQ(operate(FUTEX_OP_XOR, 5), 0b1001u);
  EXPECT_EQ(operate(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 4), 0b11100u);
}

TEST_F(FutexTest, APriorityInheritanceWordIsTakenWhenItIsFree) {
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_LOCK_PI}), 0);
  EXPECT_EQ(word(kData), static_cast<uint32_t>(kPid));
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_LOCK_PI}), -EDEADLK);
  EXPECT_EQ(result(2, SYS_futex, {kData, FUTEX_TRYLOCK_PI}), -EAGAIN);
  EXPECT_EQ(result(2, SYS_futex, {kData, FUTEX_UNLOCK_PI}), -EPERM);
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_UNLOCK_PI}), 0);
  EXPECT_EQ(word(kData), 0u);
}

TEST_F(FutexTest, ItIsHandedToItsWaitersInTurn) {
  const auto second = static_cast<uint32_t>(result(2, SYS_gettid));
  const auto third = static_cast<uint32_t>(result(3, SYS_gettid));
  store(kData, static_cast<uint32_t>(kPid));  // locked without the kernel
  const SyscallAnswer waiting = call(2, SYS_futex, {kData, FUTEX_LOCK_PI});
  EXPECT_EQ(waiting.kind, Kind::blocks);
  EXPECT_EQ(word(kData), kPid | FUTEX_WAITERS) << "so that the owner calls the kernel";
  blocks(3, SYS_futex, {kData, FUTEX_LOCK_PI});
  EXPECT_EQ(wake(1, 9), 0) << "these are not woken";

  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_UNLOCK_PI}), 0);
  EXPECT_EQ(word(kData), second | FUTEX_WAITERS);
  EXPECT_EQ(collected(2), 0);
  EXPECT_EQ(result(2, SYS_futex, {kData, FUTEX_UNLOCK_PI}), 0);
  EXPECT_EQ(word(kData), third);
  EXPECT_EQ(collected(3), 0);
}

TEST_F(FutexTest, WhatIsNotModelledIsSaid) {
  EXPECT_THAT(infeasible(1, SYS_futex, {kData, FUTEX_WAIT_REQUEUE_PI}), HasSubstr("futex command"));
}

TEST_F(FutexTest, ATasksEndClearsItsNumberAndWakesWhoJoins) {
  const TaskId child = thread(1, kData);
  store(kData, 77);
  waits(1, kData, 77);
  const SyscallAnswer answer = call(child, SYS_exit, {0});
  EXPECT_EQ(answer.kind, Kind::task_exit);
  EXPECT_EQ(word(kData), 0u);
  EXPECT_EQ(collected(1), 0);
  EXPECT_EQ(std::ranges::count(runnable(), child), 0);
}

TEST_F(FutexTest, ATasksEndGivesUpItsRobustMutexes) {
  // struct robust_list_head: next, offset of the word from the entry, pending.
  constexpr uint64_t kHead = kBuffer, kEntry = kBuffer + 64, kPending = kBuffer + 128;
  const auto tid = static_cast<uint32_t>(result(2, SYS_gettid));
  memory.store(kHead, kEntry);
  memory.store(kHead + 8, int64_t{16});
  memory.store(kHead + 16, kPending);
  memory.store(kEntry, kHead);
  store(kEntry + 16, tid | FUTEX_WAITERS);
  store(kPending + 16, tid);
  ASSERT_EQ(result(2, SYS_set_robust_list, {kHead, 24}), 0);
  waits(3, kEntry + 16, tid | FUTEX_WAITERS);
  call(2, SYS_exit, {0});
  EXPECT_EQ(word(kEntry + 16), FUTEX_OWNER_DIED | FUTEX_WAITERS);
  EXPECT_EQ(word(kPending + 16), uint32_t{FUTEX_OWNER_DIED});
  EXPECT_EQ(collected(3), 0);
}

TEST_F(FutexTest, ARobustListThatIsACircleEnds) {
  constexpr uint64_t kHead = kBuffer, kEntry = kBuffer + 64;
  memory.store(kHead, kEntry);
  memory.store(kEntry, kEntry);
  ASSERT_EQ(result(2, SYS_set_robust_list, {kHead, 24}), 0);
  EXPECT_EQ(call(2, SYS_exit, {0}).kind, Kind::task_exit);
}

TEST_F(FutexTest, ADeadlockSaysWhoWaitsForWhat) {
  for (const TaskId task : {1, 2, 3, 4, 5}) waits(task, kData + 4 * task);
  EXPECT_TRUE(runnable().empty());
  EXPECT_FALSE(kernel().advance_time());
  EXPECT_THAT(kernel().deadlock_description(memory), HasSubstr("thread 3 waits for futex 0x1000c"));
  EXPECT_FALSE(kernel().waits_for_outside());
}

TEST_F(FutexTest, ACopyGoesItsOwnWay) {
  waits(2);
  ModelKernel copy = kernel();
  EXPECT_EQ(wake(1, 1), 1);
  EXPECT_EQ(std::ranges::count(copy.runnable(), 2u), 0);
  EXPECT_EQ(std::ranges::count(runnable(), 2u), 1);
}

}  // namespace
}  // namespace heddle
