// Frames byte by byte as the running kernel builds them.
#include <gtest/gtest.h>
#include <ucontext.h>

#include <cstring>
#include <map>

#include "machine/tracee/signal_frame.h"
#include "native_signal.h"

namespace heddle {
namespace {

constexpr uint64_t kRestorer = 0x04000000;
constexpr uint8_t kUntouched = 0xcc;

// Memory that is 0xcc wherever nothing was written.
class SparseMemory final : public GuestMemory {
 public:
  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    for (size_t i = 0; i < out.size(); ++i) {
      const auto it = bytes_.find(address + i);
      out[i] = it == bytes_.end() ? kUntouched : it->second;
    }
    return out.size();
  }
  bool write(uint64_t address, std::span<const uint8_t> bytes) override {
    if (address < lowest) return false;
    for (size_t i = 0; i < bytes.size(); ++i) bytes_[address + i] = bytes[i];
    return true;
  }
  uint64_t lowest = 0;

 private:
  std::map<uint64_t, uint8_t> bytes_;
};

// What the child's kernel was asked to do, as a request to our code.
FrameRequest request_of(const NativeRequest& asked, const NativeFrame& native) {
  FrameRequest request;
  request.info.number = asked.signal;
  std::memcpy(request.info.siginfo.data(), native.bytes.data() + 312, 128);
  uint64_t restorer;
  std::memcpy(&restorer, native.bytes.data(), sizeof restorer);
  request.action = {native.at_entry[Register::rip], asked.flags | kRestorer, restorer, 0};
  request.old_mask = asked.blocked;
  request.altstack = native_alternate_stack(asked);
  const auto* context = reinterpret_cast<const ucontext_t*>(native.bytes.data() + 8);
  const auto& gregs = context->uc_mcontext.gregs;
  request.fault = {static_cast<uint64_t>(gregs[REG_TRAPNO]), static_cast<uint64_t>(gregs[REG_ERR]),
                   static_cast<uint64_t>(gregs[REG_CR2])};
  return request;
}

// The child's frame and ours are the same but for the size of the extended state, which moves the
// frame and the pointer to the state.
void expect_same(const NativeRequest& asked) {
  const auto native = take_natively(asked);
  auto request = request_of(asked, native);

  const auto place = frame_place(native.interrupted[Register::rsp], request.action,
                                 request.altstack, native.state_size);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->frame, native.frame);
  EXPECT_EQ(place->extended, native.extended);

  SparseMemory memory;
  Registers registers = native.interrupted;
  auto state = ExtendedState::initial();
  std::memcpy(state.bytes.data(), native.state.data(), 464);
  ASSERT_TRUE(push_signal_frame(memory, registers, state, request));
  const auto ours = *frame_place(native.interrupted[Register::rsp], request.action,
                                 request.altstack, sizeof(ExtendedState));
  std::vector<uint8_t> bytes(native.bytes.size());
  memory.read(ours.frame, bytes);
  auto expected = native.bytes;
  std::memcpy(expected.data() + 8 + offsetof(ucontext_t, uc_mcontext.fpregs), &ours.extended, 8);
  for (size_t i = 0; i < bytes.size(); ++i)
    EXPECT_EQ(bytes[i], expected[i]) << "byte " << i << " of the frame";

  // The legacy area, but for the processor's own MXCSR mask, and what software adds to it.
  std::vector<uint8_t> saved(sizeof(ExtendedState) + 4);
  memory.read(ours.extended, saved);
  for (size_t i = 0; i < 464; ++i)
    EXPECT_TRUE(saved[i] == native.state[i] || (i >= 28 && i < 32)) << "byte " << i;
  struct Software {
    uint32_t magic, extended_size;
    uint64_t features;
    uint32_t size;
  };
  Software theirs, written;
  std::memcpy(&theirs, native.state.data() + 464, sizeof theirs);
  std::memcpy(&written, saved.data() + 464, sizeof written);
  EXPECT_EQ(written.magic, theirs.magic);
  EXPECT_EQ(written.extended_size - written.size, theirs.extended_size - theirs.size);
  EXPECT_EQ(std::memcmp(saved.data() + written.size, native.state.data() + theirs.size, 4), 0);

  // What the handler starts with.
  for (const auto reg : {Register::rdi, Register::rax, Register::rflags, Register::rip})
    EXPECT_EQ(registers[reg], native.at_entry[reg]) << kRegisterNames[static_cast<size_t>(reg)];
  EXPECT_EQ(registers[Register::rsi] - ours.frame, native.at_entry[Register::rsi] - native.frame);
  EXPECT_EQ(registers[Register::rdx] - ours.frame, native.at_entry[Register::rdx] - native.frame);
  EXPECT_EQ(registers[Register::rsp], ours.frame);
  uint32_t mxcsr;
  uint16_t control;
  std::memcpy(&mxcsr, state.bytes.data() + 24, sizeof mxcsr);
  std::memcpy(&control, state.bytes.data(), sizeof control);
  EXPECT_EQ(mxcsr, native.mxcsr_at_entry);
  EXPECT_EQ(control, native.control_at_entry);
}

TEST(SignalFrame, OfAPlainHandler) {
  expect_same({});
}

TEST(SignalFrame, OfAHandlerWithoutSiginfo) {
  NativeRequest request;
  request.flags = 0;
  expect_same(request);
}

TEST(SignalFrame, WithSignalsBlocked) {
  NativeRequest request;
  request.blocked = 0x4000'0000'0000'2000;
  expect_same(request);
}

TEST(SignalFrame, OnAnAlternateStack) {
  NativeRequest request;
  request.alternate = true;
  request.flags = SA_SIGINFO | SA_ONSTACK;
  expect_same(request);
  request.alternate_flags = static_cast<int32_t>(0x80000000);  // SS_AUTODISARM
  expect_same(request);
  request.flags = SA_SIGINFO;  // the handler does not want it
  request.alternate_flags = 0;
  expect_same(request);
}

TEST(SignalFrame, OfFaults) {
  NativeRequest request;
  request.signal = SIGSEGV;
  request.raised = Raised::by_write_to_read_only;
  expect_same(request);
  request.raised = Raised::by_read_of_nothing;
  expect_same(request);
  request.signal = SIGILL;
  request.raised = Raised::by_ud2;
  expect_same(request);
  request.signal = SIGFPE;
  request.raised = Raised::by_divide;
  expect_same(request);
}

TEST(SignalFrame, ThatDoesNotFitIsRefused) {
  SparseMemory memory;
  Registers registers;
  registers[Register::rsp] = 0x10000;
  auto state = ExtendedState::initial();
  FrameRequest request;
  request.action = {0x1000, kRestorer, 0x2000, 0};
  memory.lowest = 0xf000;
  EXPECT_TRUE(push_signal_frame(memory, registers, state, request));
  // Nested below the last one: no room.
  memory.lowest = registers[Register::rsp];
  const Registers before = registers;
  EXPECT_FALSE(push_signal_frame(memory, registers, state, request));
  EXPECT_EQ(registers, before);
  // An alternate stack that is too small.
  memory.lowest = 0;
  request.action.flags |= SA_ONSTACK;
  request.altstack = {0x5000, 0, 1000};
  EXPECT_FALSE(push_signal_frame(memory, registers, state, request));
  // Without a restorer x86-64 has no handlers.
  request.action.flags = 0;
  EXPECT_FALSE(push_signal_frame(memory, registers, state, request));
}

class TakenDown : public testing::Test {
 protected:
  void SetUp() override {
    for (size_t i = 0; i < 16; ++i) before_.values[i] = 0x1000 + i;
    before_[Register::rsp] = 0x7000'0000;
    before_[Register::rip] = 0x40'1000;
    before_[Register::rflags] = 0x246;
    FrameRequest request;
    request.action = {0x40'2000, kRestorer, 0x40'3000, 0};
    request.old_mask = 0x1234;
    state_ = ExtendedState::initial();
    state_.bytes[160] = 77;  // xmm0
    auto state = state_;
    registers_ = before_;
    ASSERT_TRUE(push_signal_frame(memory_, registers_, state, request));
    frame_ = registers_[Register::rsp];
    registers_[Register::rsp] += 8;  // the handler's ret
  }
  template <typename T>
  void change(uint64_t offset, T value) {
    memory_.store(frame_ + 8 + offset, value);
  }
  uint64_t extended() { return *memory_.load<uint64_t>(frame_ + 8 + 224); }

  SparseMemory memory_;
  Registers before_, registers_;
  ExtendedState state_;
  uint64_t frame_ = 0;
};

TEST_F(TakenDown, GivesBackWhatWasInterrupted) {
  const auto restored = pop_signal_frame(memory_, registers_);
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->registers, before_);
  EXPECT_EQ(restored->state.bytes, state_.bytes);
  EXPECT_EQ(restored->mask, 0x1234u);
}

TEST_F(TakenDown, ObeysAHandlerThatChangedTheContext) {
  change<uint64_t>(offsetof(ucontext_t, uc_mcontext.gregs) + 8 * REG_RIP, 0x40'5000);
  change<uint64_t>(offsetof(ucontext_t, uc_mcontext.gregs) + 8 * REG_EFL, 0x3'0ed7);
  const auto restored = pop_signal_frame(memory_, registers_);
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->registers[Register::rip], 0x40'5000u);
  // Arithmetic flags and the direction are the handler's to set; IOPL, VM and the traps are not.
  EXPECT_EQ(restored->registers[Register::rflags], 0xed7u);
}

TEST_F(TakenDown, TakesInitialValuesForWhatTheHeaderDoesNotList) {
  memory_.store<uint64_t>(extended() + 512, 1);
  const auto restored = pop_signal_frame(memory_, registers_);
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->state.bytes[160], 0);
}

TEST_F(TakenDown, TakesInitialValuesWhereThereIsNoState) {
  change<uint64_t>(224, 0);
  const auto restored = pop_signal_frame(memory_, registers_);
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->state.bytes, ExtendedState::initial().bytes);
}

TEST_F(TakenDown, RefusesAnMxcsrThatWouldFault) {
  memory_.store<uint32_t>(extended() + 24, 0x8000'1f80);
  EXPECT_FALSE(pop_signal_frame(memory_, registers_));
}

}  // namespace
}  // namespace heddle
