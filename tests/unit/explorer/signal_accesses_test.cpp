#include "explorer/signal_accesses.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/syscall.h>

#include "tests/unit/explorer/fake_memory.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SignalAccessesTest : public testing::Test {
 protected:
  SignalAccessesTest() { memory.map(kSet, 0x1000); }
  // "read of signal 10 in the mask of thread 2", ... ; with "+N" where it has more bytes.
  std::vector<std::string> of(TaskId task, uint64_t number, SyscallArguments a) {
    std::vector<std::string> texts;
    for (const auto& access :
         signal_accesses(task, number, a, {{1, 2}, {{501, 1}, {502, 2}}}, memory))
      texts.push_back((access.kind == AccessKind::read ? "read of " : "write of ") +
                      location_name(access.address, access.size) +
                      (access.size > 1 ? " +" + std::to_string(access.size - 1) : ""));
    return texts;
  }
  static constexpr uint64_t kSet = 0x1000;
  FakeMemory memory;
};

TEST_F(SignalAccessesTest, SigactionWritesTheDispositionOrLooksAtIt) {
  EXPECT_THAT(of(1, SYS_rt_sigaction, {SIGUSR1, 0x5000, 0, 8}),
              ElementsAre("write of disposition of signal 10"));
  EXPECT_THAT(of(1, SYS_rt_sigaction, {SIGUSR1, 0, 0x5000, 8}),
              ElementsAre("read of disposition of signal 10"));
  EXPECT_THAT(of(1, SYS_rt_sigaction, {99, 0, 0, 8}), IsEmpty());
}

TEST_F(SignalAccessesTest, BlockingWritesTheMaskOfTheThreadOnly) {
  memory.store(kSet, uint64_t{0b110'0000'0010});
  EXPECT_THAT(
      of(2, SYS_rt_sigprocmask, {SIG_BLOCK, kSet, 0, 8}),
      ElementsAre("write of signal 2 in the mask of thread 2", "write of mask of thread 2 +1"));
  EXPECT_THAT(of(2, SYS_rt_sigprocmask, {SIG_SETMASK, kSet, 0, 8}),
              ElementsAre("write of mask of thread 2 +63"));
  EXPECT_THAT(of(2, SYS_rt_sigprocmask, {SIG_BLOCK, 0, kSet, 8}), IsEmpty());
}

TEST_F(SignalAccessesTest, SendingLooksAtTheMasksOfThoseWhoMayGetIt) {
  EXPECT_THAT(of(1, SYS_kill, {501, SIGUSR1}),
              ElementsAre("read of signal 10 in the mask of thread 1",
                          "read of signal 10 in the mask of thread 2",
                          "write of pending signal 10 of the process"));
  EXPECT_THAT(of(1, SYS_kill, {600, SIGUSR1}), IsEmpty());  // another process
  EXPECT_THAT(of(1, SYS_tgkill, {501, 502, SIGUSR1}),
              ElementsAre("read of signal 10 in the mask of thread 2",
                          "write of pending signal 10 of thread 2"));
}

TEST_F(SignalAccessesTest, WaitingLooksAtWhatIsPending) {
  memory.store(kSet, uint64_t{1} << (SIGUSR1 - 1));
  EXPECT_THAT(of(2, SYS_rt_sigtimedwait, {kSet, 0, 0, 8}),
              ElementsAre("read of pending signal 10 of thread 2",
                          "read of pending signal 10 of the process"));
  EXPECT_THAT(of(2, SYS_pause, {}), ElementsAre("read of pending signals of thread 2 +63",
                                                "read of pending signals of the process +63"));
}

TEST_F(SignalAccessesTest, ADeliveryLooksAtDispositionAndMask) {
  const auto accesses = delivery_accesses(2, SIGUSR2);
  ASSERT_EQ(accesses.size(), 2u);
  EXPECT_EQ(location_name(accesses[0].address), "disposition of signal 12");
  EXPECT_EQ(location_name(accesses[1].address), "signal 12 in the mask of thread 2");
  EXPECT_TRUE(is_signal_location(accesses[0].address));
  EXPECT_FALSE(is_signal_location(descriptor_location(3)));
}

}  // namespace
}  // namespace heddle
