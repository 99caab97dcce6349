#include "machine/tracee/signal_frame.h"

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstring>

namespace heddle {
namespace {

constexpr uint64_t kRedZone = 128;
constexpr uint64_t kRestorer = 0x04000000;                          // SA_RESTORER
constexpr uint32_t kMagic1 = 0x46505853, kMagic2 = 0x46505845;      // FP_XSTATE_MAGIC1, 2
constexpr size_t kControl = 0, kMxcsr = 24, kMask = 28, kX87 = 32;  // in the legacy area
constexpr size_t kSse = 160, kSoftware = 464, kHeader = 512, kAvx = 576;
constexpr uint64_t kStateSize = sizeof(ExtendedState);
constexpr uint64_t kFeatures = 7;         // x87, SSE, AVX
constexpr uint64_t kUserFlags = 0x50dd5;  // FIX_EFLAGS: what sigreturn may change

// struct rt_sigframe, with the kernel's ucontext.
struct Frame {
  uint64_t pretcode;
  uint64_t uc_flags;
  uint64_t uc_link;
  uint64_t stack_sp;
  int32_t stack_flags;
  int32_t stack_padding;
  uint64_t stack_size;
  uint64_t gregs[23];  // struct sigcontext_64 up to cr2, in the order of REG_R8...REG_CR2
  uint64_t fpstate;
  uint64_t reserved[8];  // not written
  uint64_t mask;
  uint8_t siginfo[128];  // written for handlers that ask for it
};
static_assert(sizeof(Frame) == 8 + 40 + 184 + 8 + 64 + 8 + 128);

struct SoftwareBytes {  // struct _fpx_sw_bytes
  uint32_t magic1;
  uint32_t extended_size;
  uint64_t xfeatures;
  uint32_t xstate_size;
  uint32_t padding[7];
};

constexpr std::pair<int, Register> kGregs[] = {
    {REG_R8, Register::r8},   {REG_R9, Register::r9},   {REG_R10, Register::r10},
    {REG_R11, Register::r11}, {REG_R12, Register::r12}, {REG_R13, Register::r13},
    {REG_R14, Register::r14}, {REG_R15, Register::r15}, {REG_RDI, Register::rdi},
    {REG_RSI, Register::rsi}, {REG_RBP, Register::rbp}, {REG_RBX, Register::rbx},
    {REG_RDX, Register::rdx}, {REG_RAX, Register::rax}, {REG_RCX, Register::rcx},
    {REG_RSP, Register::rsp}, {REG_RIP, Register::rip}, {REG_EFL, Register::rflags}};

// The bytes of `frame` from field `first` up to `last`.
bool write_part(GuestMemory& memory, uint64_t at, const Frame& frame, size_t first, size_t last) {
  const auto* raw = reinterpret_cast<const uint8_t*>(&frame);
  return memory.write_as_guest(at + first, {raw + first, last - first});
}

template <typename T>
void put(ExtendedState& state, size_t at, const T& value) {
  std::memcpy(state.bytes.data() + at, &value, sizeof value);
}

template <typename T>
T get(const ExtendedState& state, size_t at) {
  T value;
  std::memcpy(&value, state.bytes.data() + at, sizeof value);
  return value;
}

// What the frame's extended area holds for the registers; nothing where restoring it would fault.
std::optional<ExtendedState> restored_state(const GuestMemory& memory, uint64_t at) {
  auto state = ExtendedState::initial();
  if (at == 0) return state;
  ExtendedState saved{};
  const auto software = memory.load<SoftwareBytes>(at + kSoftware);
  if (!software) return std::nullopt;
  const bool extended = software->magic1 == kMagic1 && software->xstate_size == kStateSize &&
                        software->extended_size >= kStateSize + sizeof kMagic2 &&
                        memory.load<uint32_t>(at + software->xstate_size).value_or(0) == kMagic2;
  const size_t size = extended ? kStateSize : kHeader;
  if (memory.read(at, std::span(saved.bytes).first(size)) != size) return std::nullopt;
  if (get<uint32_t>(saved, kMxcsr) & ~kMxcsrMask) return std::nullopt;
  // Components that the header does not list take their initial values; MXCSR always comes along.
  const uint64_t listed = extended ? get<uint64_t>(saved, kHeader) & software->xfeatures : 3;
  const auto take = [&](size_t from, size_t to) {
    std::memcpy(state.bytes.data() + from, saved.bytes.data() + from, to - from);
  };
  take(kMxcsr, kMask);
  if (listed & 1) {
    take(kControl, kMxcsr);
    take(kX87, kSse);
  }
  if (listed & 2) take(kSse, kSse + 256);
  if (listed & 4) take(kAvx, kStateSize);
  return state;
}

}  // namespace

ExtendedState ExtendedState::initial() {
  ExtendedState state{};
  put(state, kControl, uint16_t{0x37f});
  put(state, kMxcsr, uint32_t{0x1f80});
  put(state, kMask, kMxcsrMask);
  put(state, kHeader, kFeatures);
  return state;
}

std::optional<FramePlace> frame_place(uint64_t rsp, const SignalAction& action,
                                      const AlternateStack& stack, uint64_t state_size) {
  const bool nested = stack.holds(rsp) && !stack.disarms();
  uint64_t sp = rsp - kRedZone;
  bool entering = false;
  if ((action.flags & SA_ONSTACK) && stack.size != 0 && (stack.disarms() || !stack.holds(sp))) {
    sp = stack.sp + stack.size;
    entering = true;
  }
  FramePlace place;
  place.extended = (sp - state_size - sizeof kMagic2) & ~uint64_t{63};
  place.frame = ((place.extended - sizeof(Frame)) & ~uint64_t{15}) - 8;
  if ((nested || entering) && !stack.holds(place.frame)) return std::nullopt;
  return place;
}

bool push_signal_frame(GuestMemory& memory, Registers& registers, ExtendedState& state,
                       const FrameRequest& request) {
  const auto& alt = request.altstack;
  const auto place = frame_place(registers[Register::rsp], request.action, alt, kStateSize);
  if (!place || !(request.action.flags & kRestorer)) return false;

  Frame frame{};
  frame.pretcode = request.action.restorer;
  frame.uc_flags = 7;  // UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
  frame.stack_sp = alt.sp;
  frame.stack_flags = alt.flags;
  frame.stack_size = alt.size;
  for (const auto& [slot, reg] : kGregs) frame.gregs[slot] = registers[reg];
  frame.gregs[REG_CSGSFS] = 0x2b'0000'0000'0033;  // cs, gs, fs, ss
  frame.gregs[REG_ERR] = request.fault.error;
  frame.gregs[REG_TRAPNO] = request.fault.trap;
  frame.gregs[REG_OLDMASK] = request.old_mask;
  frame.gregs[REG_CR2] = request.fault.address;
  frame.fpstate = place->extended;
  frame.mask = request.old_mask;
  std::memcpy(frame.siginfo, request.info.siginfo.data(), sizeof frame.siginfo);

  std::array<uint8_t, kStateSize + sizeof kMagic2> image{};
  std::memcpy(image.data(), state.bytes.data(), kStateSize);
  const SoftwareBytes software{kMagic1, kStateSize + sizeof kMagic2, kFeatures, kStateSize, {}};
  std::memcpy(image.data() + kSoftware, &software, sizeof software);
  std::memcpy(image.data() + kStateSize, &kMagic2, sizeof kMagic2);

  const uint64_t at = place->frame;
  // The lowest part first: if anything is out of reach, it is that.
  const bool written =
      write_part(memory, at, frame, 0, offsetof(Frame, stack_padding)) &&
      write_part(memory, at, frame, offsetof(Frame, stack_size), offsetof(Frame, reserved)) &&
      write_part(memory, at, frame, offsetof(Frame, mask), offsetof(Frame, siginfo)) &&
      (!(request.action.flags & SA_SIGINFO) ||
       write_part(memory, at, frame, offsetof(Frame, siginfo), sizeof frame)) &&
      memory.write_as_guest(place->extended, image);
  if (!written) return false;

  registers[Register::rdi] = static_cast<uint64_t>(request.info.number);
  registers[Register::rsi] = at + offsetof(Frame, siginfo);
  registers[Register::rdx] = at + offsetof(Frame, uc_flags);
  registers[Register::rax] = 0;
  registers[Register::rsp] = at;
  registers[Register::rip] = request.action.handler;
  registers[Register::rflags] &= ~uint64_t{0x10500};  // RF, DF, TF
  state = ExtendedState::initial();
  return true;
}

std::optional<RestoredFrame> pop_signal_frame(const GuestMemory& memory, const Registers& at) {
  // The handler's ret took pretcode off.
  const auto frame = memory.load<Frame>(at[Register::rsp] - 8);
  if (!frame) return std::nullopt;
  RestoredFrame out;
  for (const auto& [slot, reg] : kGregs) out.registers[reg] = frame->gregs[slot];
  auto& flags = out.registers[Register::rflags];
  flags = (at[Register::rflags] & ~kUserFlags) | (flags & kUserFlags & ~uint64_t{0x10100});
  out.mask = frame->mask;
  out.altstack = {frame->stack_sp, frame->stack_flags, frame->stack_size};
  const auto state = restored_state(memory, frame->fpstate);
  if (!state) return std::nullopt;
  out.state = *state;
  return out;
}

}  // namespace heddle
