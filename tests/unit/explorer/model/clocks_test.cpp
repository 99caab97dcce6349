#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "tests/unit/explorer/model/kernel_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ClocksTest : public KernelTest {
 protected:
  uint64_t reading(clockid_t clock) {
    EXPECT_EQ(result(1, SYS_clock_gettime, {static_cast<uint64_t>(clock), kBuffer}), 0);
    return quad(kBuffer) * 1'000'000'000 + quad(kBuffer + 8);
  }
};

TEST_F(ClocksTest, TimeGoesByTicksAndCalls) {
  const uint64_t first = reading(CLOCK_MONOTONIC);
  EXPECT_EQ(reading(CLOCK_MONOTONIC), first + 200);
  kernel().ran(1000);
  EXPECT_EQ(reading(CLOCK_MONOTONIC), first + 1400);
}

TEST_F(ClocksTest, AllClocksGoOn) {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                CLOCK_THREAD_CPUTIME_ID, CLOCK_BOOTTIME, CLOCK_TAI}) {
    const uint64_t first = reading(clock);
    kernel().ran(5000);
    EXPECT_EQ(reading(clock), first + 5200);
  }
  EXPECT_EQ(result(1, SYS_clock_gettime, {99, kBuffer}), -EINVAL);
  const int64_t seconds = result(1, SYS_time, {0});
  EXPECT_EQ(result(1, SYS_gettimeofday, {kBuffer, 0}), 0);
  EXPECT_EQ(static_cast<int64_t>(quad(kBuffer)), seconds);
}

TEST_F(ClocksTest, ASleepEndsWhenItsTimeHasCome) {
  store_time(kBuffer, 0, 10'000);
  const TaskId other = thread();
  blocks(other, SYS_nanosleep, {kBuffer, 0});
  EXPECT_THAT(kernel().sleepers(), ElementsAre(other));
  EXPECT_EQ(kernel().next_due(), kernel().now_ns() + 10'000);
  kernel().ran(9'999);
  EXPECT_THAT(runnable(), ElementsAre(1));
  kernel().ran(1);
  EXPECT_THAT(runnable(), ElementsAre(1, other));
  EXPECT_EQ(collected(other), 0);
  EXPECT_THAT(kernel().sleepers(), IsEmpty());
}

TEST_F(ClocksTest, AnAbsoluteSleepEndsAtThatTime) {
  const uint64_t wanted = reading(CLOCK_MONOTONIC) + 7000;
  store_time(kBuffer, static_cast<int64_t>(wanted / 1'000'000'000),
             static_cast<int64_t>(wanted % 1'000'000'000));
  blocks(1, SYS_clock_nanosleep, {CLOCK_MONOTONIC, TIMER_ABSTIME, kBuffer, 0});
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(collected(1), 0);
  EXPECT_EQ(reading(CLOCK_MONOTONIC), wanted + 200);
  // A time that has passed.
  blocks(1, SYS_clock_nanosleep, {CLOCK_MONOTONIC, TIMER_ABSTIME, kBuffer, 0});
  kernel().ran(0);
  EXPECT_EQ(collected(1), 0);
}

TEST_F(ClocksTest, SleepersWakeByTheirTimeWhateverTheOrderTheySleptIn) {
  const TaskId a = thread(), b = thread(), c = thread();
  const auto sleeps = [&](TaskId task, int64_t ns) {
    store_time(kBuffer, 0, ns);
    blocks(task, SYS_nanosleep, {kBuffer, 0});
  };
  sleeps(a, 9000);
  sleeps(b, 3000);
  sleeps(c, 6000);
  EXPECT_THAT(kernel().sleepers(), ElementsAre(b, c, a));
  kernel().ran(100'000);
  EXPECT_THAT(runnable(), ElementsAre(1, b, c, a));
}

TEST_F(ClocksTest, TimeJumpsToTheNextDeadlineOnly) {
  const TaskId other = thread();
  store_time(kBuffer, 5, 0);
  blocks(other, SYS_nanosleep, {kBuffer, 0});
  store_time(kBuffer, 1, 0);
  blocks(1, SYS_nanosleep, {kBuffer, 0});
  const uint64_t before = kernel().now_ns();
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(kernel().now_ns(), before + 1'000'000'000);
  EXPECT_THAT(runnable(), ElementsAre(1));
}

TEST_F(ClocksTest, AJumpToOneSleeperWakesThoseBeforeIt) {
  const TaskId a = thread(), b = thread();
  store_time(kBuffer, 2, 0);
  blocks(a, SYS_nanosleep, {kBuffer, 0});
  store_time(kBuffer, 1, 0);
  blocks(b, SYS_nanosleep, {kBuffer, 0});
  kernel().advance_to(a);
  EXPECT_THAT(runnable(), ElementsAre(1, b, a));
  const uint64_t now = kernel().now_ns();
  kernel().advance_to(1);  // no sleeper
  EXPECT_EQ(kernel().now_ns(), now);
}

TEST_F(ClocksTest, ASignalEndsASleepAndTellsTheRest) {
  const TaskId other = thread();
  // A handler without SA_RESTART (struct kernel_sigaction).
  memory.store(kData, std::array<uint64_t, 4>{0x400000, 0, 0, 0});
  ASSERT_EQ(result(1, SYS_rt_sigaction, {SIGUSR1, kData, 0, 8}), 0);
  store_time(kBuffer, 0, 10'000);
  blocks(other, SYS_nanosleep, {kBuffer, kBuffer + 16});
  kernel().ran(3800);
  const auto pid = static_cast<uint64_t>(result(1, SYS_getpid));
  const auto tid = static_cast<uint64_t>(100'000 + other);
  EXPECT_EQ(result(1, SYS_tgkill, {pid, tid, SIGUSR1}), 0);
  EXPECT_EQ(collected(other), -EINTR);
  EXPECT_EQ(quad(kBuffer + 16), 0u);
  EXPECT_EQ(quad(kBuffer + 24), 10'000u - 3800 - 2 * 200);
}

TEST_F(ClocksTest, TimesThatAreNoneAreRefused) {
  store_time(kBuffer, -1, 0);
  EXPECT_EQ(result(1, SYS_nanosleep, {kBuffer, 0}), -EINVAL);
  EXPECT_EQ(result(1, SYS_nanosleep, {kUnmapped, 0}), -EFAULT);
  EXPECT_EQ(result(1, SYS_nanosleep, {0, 0}), -EFAULT);
}

TEST_F(ClocksTest, AnAlarmComesByVirtualTime) {
  memory.store(kData, std::array<uint64_t, 4>{0x400000, 0, 0, 0});
  ASSERT_EQ(result(1, SYS_rt_sigaction, {SIGALRM, kData, 0, 8}), 0);
  EXPECT_EQ(result(1, SYS_alarm, {2}), 0);
  kernel().ran(500'000'000);
  EXPECT_FALSE(kernel().take_signal(1));
  EXPECT_EQ(result(1, SYS_alarm, {1}), 2) << "rounded up";
  blocks(1, SYS_pause);
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(collected(1), -EINTR);
  const auto signal = kernel().take_signal(1);
  ASSERT_TRUE(signal);
  EXPECT_EQ(signal->number, SIGALRM);
  EXPECT_FALSE(kernel().advance_time()) << "it comes once";
}

TEST_F(ClocksTest, AnIntervalTimerComesAgain) {
  memory.store(kData, std::array<uint64_t, 4>{0x400000, 0, 0, 0});
  ASSERT_EQ(result(1, SYS_rt_sigaction, {SIGALRM, kData, 0, 8}), 0);
  memory.store(kBuffer, itimerval{{0, 10}, {0, 20}});
  EXPECT_EQ(result(1, SYS_setitimer, {ITIMER_REAL, kBuffer, 0}), 0);
  for (const uint64_t ticks : {20'000, 10'000, 10'000}) {
    EXPECT_FALSE(kernel().take_signal(1));
    kernel().ran(ticks);
    EXPECT_TRUE(kernel().take_signal(1));
  }
  EXPECT_EQ(result(1, SYS_getitimer, {ITIMER_REAL, kBuffer + 64}), 0);
  const auto rest = *memory.load<itimerval>(kBuffer + 64);
  EXPECT_EQ(rest.it_interval.tv_usec, 10);
  EXPECT_GT(rest.it_value.tv_usec, 0);
  memory.store(kBuffer, itimerval{});
  EXPECT_EQ(result(1, SYS_setitimer, {ITIMER_REAL, kBuffer, 0}), 0);
  kernel().ran(1'000'000);
  EXPECT_FALSE(kernel().take_signal(1));
}

}  // namespace
}  // namespace heddle
