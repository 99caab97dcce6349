#include <errno.h>
#include <linux/futex.h>
#include <signal.h>

#include "tests/unit/explorer/model/kernel_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using Kind = SyscallAnswer::Kind;

constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}

class SignalsTest : public KernelTest {
 protected:
  SignalsTest() { recorded.call(1, SYS_set_tid_address, {kData + 0x100}, kPid); }

  void handle(int signal, uint64_t flags = 0) {
    memory.store(kData + 0x200, std::array<uint64_t, 4>{0x400000, flags, 0, 0});
    ASSERT_EQ(result(1, SYS_rt_sigaction, {static_cast<uint64_t>(signal), kData + 0x200, 0, 8}), 0);
  }
  void ignore(int signal) {
    memory.store(kData + 0x200, std::array<uint64_t, 4>{1, 0, 0, 0});
    ASSERT_EQ(result(1, SYS_rt_sigaction, {static_cast<uint64_t>(signal), kData + 0x200, 0, 8}), 0);
  }
  void block(TaskId task, uint64_t set, int how = SIG_BLOCK) {
    memory.store(kData + 0x300, set);
    ASSERT_EQ(result(task, SYS_rt_sigprocmask, {static_cast<uint64_t>(how), kData + 0x300, 0, 8}),
              0);
  }
  int64_t send(TaskId from, TaskId to, int signal) {
    const int64_t tid = to == 1 ? kPid : 100'000 + to;
    return result(from, SYS_tgkill,
                  {kPid, static_cast<uint64_t>(tid), static_cast<uint64_t>(signal)});
  }
  int64_t send_to_process(TaskId from, int signal) {
    return result(from, SYS_kill, {kPid, static_cast<uint64_t>(signal)});
  }
  int taken(TaskId task) {
    const auto signal = kernel().take_signal(task);
    return signal ? signal->number : 0;
  }
};

TEST_F(SignalsTest, ASignalToOneselfIsDueAtOnce) {
  handle(SIGUSR1);
  EXPECT_EQ(send(1, 1, SIGUSR1), 0);
  const auto signal = kernel().take_signal(1);
  ASSERT_TRUE(signal);
  EXPECT_EQ(signal->number, SIGUSR1);
  siginfo_t info;
  std::memcpy(&info, signal->siginfo.data(), sizeof info);
  EXPECT_EQ(info.si_signo, SIGUSR1);
  EXPECT_EQ(info.si_code, SI_TKILL);
  EXPECT_EQ(info.si_pid, kPid);
}

TEST_F(SignalsTest, NobodyIsNobody) {
  EXPECT_EQ(result(1, SYS_tgkill, {kPid, 4711, SIGUSR1}), -ESRCH);
  EXPECT_EQ(send(1, 1, 65), -EINVAL);
  EXPECT_EQ(send(1, 1, 0), 0);
  EXPECT_EQ(taken(1), 0);
  const TaskId other = thread();
  call(other, SYS_exit, {0});
  EXPECT_EQ(result(1, SYS_tkill, {static_cast<uint64_t>(100'000 + other), SIGUSR1}), -ESRCH);
}

TEST_F(SignalsTest, IgnoredSignalsAreNotThere) {
  ignore(SIGUSR1);
  EXPECT_EQ(send(1, 1, SIGUSR1), 0);
  EXPECT_EQ(send(1, 1, SIGWINCH), 0);
  EXPECT_EQ(taken(1), 0);
}

TEST_F(SignalsTest, BlockedOnesArePendingUntilUnblocked) {
  handle(SIGUSR1);
  block(1, bit(SIGUSR1));
  send(1, 1, SIGUSR1);
  EXPECT_EQ(taken(1), 0);
  EXPECT_EQ(result(1, SYS_rt_sigpending, {kBuffer, 8}), 0);
  EXPECT_EQ(quad(kBuffer), bit(SIGUSR1));
  block(1, bit(SIGUSR1), SIG_UNBLOCK);
  EXPECT_EQ(taken(1), SIGUSR1);
  EXPECT_EQ(result(1, SYS_rt_sigpending, {kBuffer, 8}), 0);
  EXPECT_EQ(quad(kBuffer), 0u);
}

TEST_F(SignalsTest, AWaitingCallEndsOrIsMadeAgain) {
  const TaskId other = thread();
  handle(SIGUSR1);
  handle(SIGUSR2, SA_RESTART);
  blocks(other, SYS_futex, {kData, FUTEX_WAIT, 0});
  send(1, other, SIGUSR1);
  EXPECT_THAT(runnable(), ElementsAre(1, other));
  EXPECT_EQ(collected(other), -EINTR);
  EXPECT_EQ(taken(other), SIGUSR1);
  EXPECT_EQ(result(1, SYS_futex, {kData, FUTEX_WAKE, 1}), 0);

  blocks(other, SYS_futex, {kData, FUTEX_WAIT, 0});
  send(1, other, SIGUSR2);
  EXPECT_EQ(collected(other), -512);  // ERESTARTSYS
  EXPECT_EQ(taken(other), SIGUSR2);
}

TEST_F(SignalsTest, WithATimeLimitItEndsWhateverTheFlags) {
  const TaskId other = thread();
  handle(SIGUSR2, SA_RESTART);
  store_time(kBuffer, 1, 0);
  blocks(other, SYS_futex, {kData, FUTEX_WAIT, 0, kBuffer});
  send(1, other, SIGUSR2);
  EXPECT_EQ(collected(other), -EINTR);
}

TEST_F(SignalsTest, WhatIsBlockedOrIgnoredEndsNoCall) {
  const TaskId other = thread();
  handle(SIGUSR1);
  ignore(SIGUSR2);
  block(other, bit(SIGUSR1));
  blocks(other, SYS_futex, {kData, FUTEX_WAIT, 0});
  send(1, other, SIGUSR1);
  send(1, other, SIGUSR2);
  EXPECT_THAT(runnable(), ElementsAre(1));
}

TEST_F(SignalsTest, AFatalSignalEndsACallToo) {
  const TaskId other = thread();
  blocks(other, SYS_futex, {kData, FUTEX_WAIT, 0});
  send(1, other, SIGTERM);
  EXPECT_EQ(collected(other), -EINTR);
  EXPECT_EQ(taken(other), SIGTERM);
}

TEST_F(SignalsTest, PauseWaitsForAHandler) {
  const TaskId other = thread();
  handle(SIGUSR1, SA_RESTART);
  blocks(other, SYS_pause);
  EXPECT_THAT(kernel().deadlock_description(memory), testing::HasSubstr("pause"));
  send(1, other, SIGUSR1);
  EXPECT_EQ(collected(other), -EINTR);
}

TEST_F(SignalsTest, ASignalToTheProcessGoesToWhoDoesNotBlockIt) {
  const TaskId other = thread();
  handle(SIGUSR1);
  block(1, bit(SIGUSR1));
  EXPECT_EQ(send_to_process(1, SIGUSR1), 0);
  EXPECT_EQ(taken(1), 0);
  EXPECT_EQ(taken(other), SIGUSR1);
}

TEST_F(SignalsTest, TheFirstTaskGetsItIfItCan) {
  const TaskId other = thread();
  handle(SIGUSR1);
  blocks(1, SYS_pause);
  EXPECT_EQ(send_to_process(other, SIGUSR1), 0);
  EXPECT_EQ(collected(1), -EINTR);
  EXPECT_EQ(taken(other), 0);
  EXPECT_EQ(taken(1), SIGUSR1);
}

TEST_F(SignalsTest, SuspendChangesTheMaskUntilAHandlerHasRun) {
  const TaskId other = thread();
  handle(SIGUSR1);
  block(1, bit(SIGUSR1) | bit(SIGUSR2));
  memory.store(kBuffer, bit(SIGUSR2));
  blocks(1, SYS_rt_sigsuspend, {kBuffer, 8});
  EXPECT_EQ(kernel().signals(1).mask(1), bit(SIGUSR2));
  send(other, 1, SIGUSR1);
  EXPECT_EQ(collected(1), -EINTR);
  EXPECT_EQ(taken(1), SIGUSR1);
  EXPECT_EQ(kernel().take_saved_mask(1), bit(SIGUSR1) | bit(SIGUSR2));
  EXPECT_FALSE(kernel().take_saved_mask(1));
}

TEST_F(SignalsTest, SuspendWithASignalPendingReturnsAtOnce) {
  handle(SIGUSR1);
  block(1, bit(SIGUSR1));
  send(1, 1, SIGUSR1);
  memory.store(kBuffer, uint64_t{0});
  EXPECT_EQ(result(1, SYS_rt_sigsuspend, {kBuffer, 8}), -EINTR);
  EXPECT_EQ(taken(1), SIGUSR1);
  EXPECT_EQ(kernel().take_saved_mask(1), bit(SIGUSR1));
}

TEST_F(SignalsTest, TimedWaitTakesWhatIsPending) {
  block(1, bit(SIGUSR1) | bit(SIGUSR2));
  send(1, 1, SIGUSR2);
  send(1, 1, SIGUSR1);
  memory.store(kBuffer, bit(SIGUSR2));
  EXPECT_EQ(result(1, SYS_rt_sigtimedwait, {kBuffer, kBuffer + 64, 0, 8}), SIGUSR2);
  EXPECT_EQ(memory.load<siginfo_t>(kBuffer + 64)->si_signo, SIGUSR2);
  EXPECT_EQ(kernel().signals(1).mask(1), bit(SIGUSR1) | bit(SIGUSR2));
}

TEST_F(SignalsTest, TimedWaitWaitsForOneOfItsSet) {
  const TaskId other = thread();
  handle(SIGTERM);
  block(1, bit(SIGUSR1) | bit(SIGUSR2));
  memory.store(kBuffer, bit(SIGUSR1));
  blocks(1, SYS_rt_sigtimedwait, {kBuffer, kBuffer + 64, 0, 8});
  send(other, 1, SIGUSR2);
  EXPECT_THAT(runnable(), ElementsAre(other));
  send_to_process(other, SIGUSR1);
  EXPECT_EQ(collected(1), SIGUSR1);
  EXPECT_EQ(memory.load<siginfo_t>(kBuffer + 64)->si_signo, SIGUSR1);
  EXPECT_EQ(taken(1), 0) << "it is taken";

  blocks(1, SYS_rt_sigtimedwait, {kBuffer, 0, 0, 8});
  send(other, 1, SIGTERM);
  EXPECT_EQ(collected(1), -EINTR);
}

TEST_F(SignalsTest, TimedWaitHasATimeLimit) {
  memory.store(kBuffer, bit(SIGUSR1));
  store_time(kBuffer + 16, 0, 5000);
  block(1, bit(SIGUSR1));
  blocks(1, SYS_rt_sigtimedwait, {kBuffer, 0, kBuffer + 16, 8});
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(collected(1), -EAGAIN);
  store_time(kBuffer + 16, 0, 0);
  EXPECT_EQ(result(1, SYS_rt_sigtimedwait, {kBuffer, 0, kBuffer + 16, 8}), -EAGAIN);
}

TEST_F(SignalsTest, QueuedSignalsCarryTheirValue) {
  handle(SIGRTMIN);
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 42;
  memory.store(kBuffer, info);
  EXPECT_EQ(result(1, SYS_rt_sigqueueinfo, {kPid, static_cast<uint64_t>(SIGRTMIN), kBuffer}), 0);
  EXPECT_EQ(
      result(1, SYS_rt_tgsigqueueinfo, {kPid, kPid, static_cast<uint64_t>(SIGRTMIN), kBuffer}), 0);
  for (int i = 0; i < 2; ++i) {
    const auto signal = kernel().take_signal(1);
    ASSERT_TRUE(signal);
    siginfo_t got;
    std::memcpy(&got, signal->siginfo.data(), sizeof got);
    EXPECT_EQ(got.si_signo, SIGRTMIN);
    EXPECT_EQ(got.si_value.sival_int, 42);
  }
}

TEST_F(SignalsTest, SignalsOfTheOutsideComeWhenNobodyCanRun) {
  event::Signal signal;
  signal.number = SIGUSR1;
  siginfo_t info{};
  info.si_signo = SIGUSR1;
  info.si_code = SI_USER;
  info.si_pid = 4711;
  std::memcpy(signal.siginfo.data(), &info, sizeof info);
  recorded.add(1, signal, 2'000'000);
  // The program's own are not the outside's.
  info.si_pid = kPid;
  std::memcpy(signal.siginfo.data(), &info, sizeof info);
  recorded.add(1, signal, 3'000'000);

  handle(SIGUSR1);
  blocks(1, SYS_pause);
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(collected(1), -EINTR);
  EXPECT_EQ(taken(1), SIGUSR1);
  blocks(1, SYS_pause);
  EXPECT_FALSE(kernel().advance_time());
}

TEST_F(SignalsTest, OrAtTheRecordedTime) {
  event::Signal signal;
  signal.number = SIGTERM;
  siginfo_t info{};
  info.si_signo = SIGTERM;
  info.si_pid = 4711;
  std::memcpy(signal.siginfo.data(), &info, sizeof info);
  recorded.add(1, signal, 2'000'000);
  kernel().ran(1'999'000);
  EXPECT_EQ(taken(1), 0);
  kernel().ran(2'000);
  EXPECT_EQ(taken(1), SIGTERM);
}

TEST_F(SignalsTest, AnExpectedOneComesWhenItIsPlacedAndIsHandled) {
  kernel().expect_signal(SIGUSR1);
  EXPECT_TRUE(kernel().outside_signals(1000).empty());
  handle(SIGUSR1);
  EXPECT_THAT(kernel().outside_signals(1000), ElementsAre(SIGUSR1));
  EXPECT_FALSE(kernel().advance_time());
  EXPECT_TRUE(kernel().place_signal(SIGUSR1, 1));
  const auto taken = kernel().take_signal(1);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->number, SIGUSR1);
  EXPECT_FALSE(kernel().place_signal(SIGUSR1, 1));
}

}  // namespace
}  // namespace heddle
