#include "machine/tracee/signal_state.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>

#include <cstring>

namespace heddle {
namespace {

constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}

// This process's own memory: arguments can be pointers to locals.
class OwnMemory final : public GuestMemory {
 public:
  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    std::memcpy(out.data(), reinterpret_cast<const void*>(address), out.size());
    return out.size();
  }
  bool write(uint64_t, std::span<const uint8_t>) override { return false; }
};

uint64_t pointer(const void* p) {
  return reinterpret_cast<uint64_t>(p);
}

class State : public testing::Test {
 protected:
  void SetUp() override { state.add_task(1, 0); }
  int64_t action(int signal, SignalAction wanted) {
    return *state.call(SYS_rt_sigaction, 1, {static_cast<uint64_t>(signal), pointer(&wanted), 0, 8},
                       0, memory, &effects);
  }
  SignalState state;
  OwnMemory memory;
  std::vector<MemoryEffect> effects;
};

TEST_F(State, FlagsThatTheKernelDoesNotKnowAreForgotten) {
  EXPECT_EQ(action(SIGUSR1, {0x1000, ~uint64_t{0}, 0, ~uint64_t{0}}), 0);
  EXPECT_EQ(state.action(SIGUSR1).flags, 0xdc000807u);
  EXPECT_EQ(state.action(SIGUSR1).mask, ~(bit(SIGKILL) | bit(SIGSTOP)));
  EXPECT_EQ(action(SIGKILL, {0x1000, 0, 0, 0}), -EINVAL);
}

TEST_F(State, IgnoringASignalDropsWhatIsPending) {
  EXPECT_EQ(action(SIGUSR1, {0x1000, 0, 0, 0}), 0);
  state.set_mask(1, bit(SIGUSR1));
  state.post(1, {SIGUSR1, {}});
  EXPECT_EQ(action(SIGUSR1, {1, 0, 0, 0}), 0);
  state.set_mask(1, 0);
  EXPECT_FALSE(state.take(1));
}

TEST_F(State, TheHandlersMaskFollowsItsFlags) {
  action(SIGUSR1, {0x1000, 0, 0, bit(SIGUSR2)});
  state.entered_handler(1, SIGUSR1);
  EXPECT_EQ(state.mask(1), bit(SIGUSR1) | bit(SIGUSR2));
  state.set_mask(1, 0);
  action(SIGUSR1, {0x1000, SA_NODEFER | uint64_t{0x80000000}, 0, bit(SIGUSR2)});
  state.entered_handler(1, SIGUSR1);
  EXPECT_EQ(state.mask(1), bit(SIGUSR2));
  EXPECT_EQ(state.action(SIGUSR1).handler, 0u);  // SA_RESETHAND
}

TEST_F(State, OnlySignalsThatAreTakenEndCalls) {
  action(SIGUSR1, {0x1000, 0, 0, 0});
  EXPECT_TRUE(state.interrupts(SIGUSR1, 0));
  EXPECT_FALSE(state.interrupts(SIGUSR1, bit(SIGUSR1)));
  EXPECT_FALSE(state.interrupts(SIGCHLD, 0));
  EXPECT_TRUE(state.interrupts(SIGTERM, 0));
}

TEST_F(State, AlternateStacks) {
  const uint64_t sp = 0x10000;
  EXPECT_EQ(state.change_alternate_stack(1, {sp, 0, 100}, 0), -ENOMEM);
  EXPECT_EQ(state.change_alternate_stack(1, {sp, 4, 4096}, 0), -EINVAL);
  EXPECT_EQ(state.change_alternate_stack(1, {sp, 0, 4096}, 0), 0);
  EXPECT_EQ(state.change_alternate_stack(1, {0, SS_DISABLE, 0}, sp + 100), -EPERM);
  // Told while on it, and while not.
  stack_t old{};
  for (const auto& [rsp, flags] : {std::pair{sp + 100, int{SS_ONSTACK}}, std::pair{sp, 0}}) {
    effects.clear();
    EXPECT_EQ(state.call(SYS_sigaltstack, 1, {0, pointer(&old)}, rsp, memory, &effects), 0);
    ASSERT_EQ(effects.size(), 1u);
    std::memcpy(&old, effects[0].bytes.data(), sizeof old);
    EXPECT_EQ(old.ss_flags, flags);
    EXPECT_EQ(pointer(old.ss_sp), sp);
  }
  EXPECT_EQ(state.change_alternate_stack(1, {sp, SS_DISABLE, 4096}, 0), 0);
  EXPECT_EQ(state.alternate_stack(1).size, 0u);
}

TEST_F(State, ADisarmingStackIsGoneInItsHandler) {
  action(SIGUSR1, {0x1000, SA_ONSTACK, 0, 0});
  const auto disarm = static_cast<int32_t>(0x80000000);
  EXPECT_EQ(state.change_alternate_stack(1, {0x10000, disarm, 4096}, 0), 0);
  state.entered_handler(1, SIGUSR1);
  EXPECT_EQ(state.alternate_stack(1).size, 0u);
}

TEST_F(State, AThreadHasNoAlternateStackAndItsParentsMask) {
  state.set_mask(1, bit(SIGUSR1));
  state.change_alternate_stack(1, {0x10000, 0, 4096}, 0);
  state.add_task(2, 1);
  EXPECT_EQ(state.mask(2), bit(SIGUSR1));
  EXPECT_EQ(state.alternate_stack(2).size, 0u);
  EXPECT_EQ(state.alternate_stack(2).flags, SS_DISABLE);
}

}  // namespace
}  // namespace heddle
