// A handler's frame shows the same registers whoever led the task to its place.
#include "machine/tracee/signal_delivery.h"

#include <gtest/gtest.h>
#include <ucontext.h>

#include <array>
#include <cstring>

namespace heddle {
namespace {

class OwnMemory final : public GuestMemory {
 public:
  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    std::memcpy(out.data(), reinterpret_cast<const void*>(address), out.size());
    return out.size();
  }
  bool write(uint64_t address, std::span<const uint8_t> bytes) override {
    std::memcpy(reinterpret_cast<void*>(address), bytes.data(), bytes.size());
    return true;
  }
};

uint64_t flags_in_frame(std::span<const uint8_t> code, uint64_t flags) {
  OwnMemory memory;
  alignas(64) static std::array<uint8_t, 1 << 16> stack;
  SignalState signals;
  signals.add_task(1, 0);
  signals.set_action(SIGUSR1, {0x1000, 0x04000000 | SA_SIGINFO, 0x2000, 0});
  TaskContext context;
  context.task = 1;
  context.registers[Register::rip] = reinterpret_cast<uint64_t>(code.data());
  context.registers[Register::rsp] = reinterpret_cast<uint64_t>(stack.data() + stack.size());
  context.registers[Register::rflags] = flags;
  RawExtendedState extended(4096);
  SignalInfo info;
  info.number = SIGUSR1;
  EXPECT_TRUE(enter_handler(context, extended, memory, signals, info));
  const auto* frame = reinterpret_cast<const ucontext_t*>(context.registers[Register::rdx]);
  return static_cast<uint64_t>(frame->uc_mcontext.gregs[REG_EFL]);
}

TEST(SignalDeliveryTest, FlagsThatNoCodeReadsAreZero) {
  // cmp eax, 1; jne .; padding behind the jump is never looked at
  static constexpr std::array<uint8_t, 32> kDead{0x83, 0xf8, 0x01, 0x75, 0xfb};
  EXPECT_EQ(flags_in_frame(kDead, 0x246), 0x202);
}

TEST(SignalDeliveryTest, FlagsThatAreReadStay) {
  static constexpr std::array<uint8_t, 32> kLive{0x75, 0xfe};  // jne .
  EXPECT_EQ(flags_in_frame(kLive, 0x246) & 0x40, 0x40U);
}

}  // namespace
}  // namespace heddle
