#include "machine/tracee/signal_frame.h"

#include <signal.h>
#include <ucontext.h>

#include <cstring>

namespace heddle {
namespace {

constexpr uint64_t kRedZone = 128;
constexpr uint32_t kMagic1 = 0x46505853, kMagic2 = 0x46505845;  // FP_XSTATE_MAGIC1, 2
constexpr size_t kSoftware = 464;                               // sw_reserved in the legacy area
constexpr uint64_t kStateSize = sizeof(ExtendedState);
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
  uint64_t reserved[8];
  uint64_t mask;
  uint8_t siginfo[128];
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

}  // namespace

bool push_signal_frame(GuestMemory& memory, Registers& registers, ExtendedState& state,
                       const FrameRequest& request, std::vector<MemoryEffect>* written) {
  const uint64_t rsp = registers[Register::rsp];
  const auto& alt = request.altstack;
  const bool on_alternate = alt.size != 0 && rsp > alt.sp && rsp - alt.sp <= alt.size;
  uint64_t sp = rsp - kRedZone;
  if ((request.action.flags & SA_ONSTACK) && alt.size != 0 && !on_alternate) sp = alt.sp + alt.size;

  const uint64_t fpstate = (sp - kStateSize - sizeof kMagic2) & ~uint64_t{63};
  const uint64_t at = ((fpstate - sizeof(Frame)) & ~uint64_t{15}) - 8;

  Frame frame{};
  frame.pretcode = request.action.restorer;
  frame.uc_flags = 7;  // UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
  frame.stack_sp = alt.sp;
  frame.stack_flags = on_alternate ? SS_ONSTACK : alt.flags;
  frame.stack_size = alt.size;
  for (const auto& [slot, reg] : kGregs) frame.gregs[slot] = registers[reg];
  frame.gregs[REG_CSGSFS] = 0x2b'0000'0000'0033;  // cs, gs, fs, ss
  frame.gregs[REG_OLDMASK] = request.old_mask;
  const int number = request.info.number;
  if (number == SIGSEGV || number == SIGBUS) {
    siginfo_t info;
    std::memcpy(&info, request.info.siginfo.data(), sizeof info);
    if (info.si_code > 0 && info.si_code != SI_KERNEL) {
      frame.gregs[REG_CR2] = static_cast<int64_t>(reinterpret_cast<uint64_t>(info.si_addr));
      frame.gregs[REG_TRAPNO] = 14;
      frame.gregs[REG_ERR] = 4;
    }
  }
  frame.fpstate = fpstate;
  frame.mask = request.old_mask;
  std::memcpy(frame.siginfo, request.info.siginfo.data(), sizeof frame.siginfo);

  std::array<uint8_t, kStateSize + sizeof kMagic2> image{};
  std::memcpy(image.data(), state.bytes.data(), kStateSize);
  const SoftwareBytes software{kMagic1, kStateSize + sizeof kMagic2, 7, kStateSize, {}};
  std::memcpy(image.data() + kSoftware, &software, sizeof software);
  std::memcpy(image.data() + kStateSize, &kMagic2, sizeof kMagic2);

  if (!memory.write(fpstate, image) || !memory.store(at, frame)) return false;
  if (written) {
    written->push_back({fpstate, {image.begin(), image.end()}});
    const auto* raw = reinterpret_cast<const uint8_t*>(&frame);
    written->push_back({at, {raw, raw + sizeof frame}});
  }

  registers[Register::rdi] = static_cast<uint64_t>(number);
  registers[Register::rsi] = at + offsetof(Frame, siginfo);
  registers[Register::rdx] = at + offsetof(Frame, uc_flags);
  registers[Register::rax] = 0;
  registers[Register::rsp] = at;
  registers[Register::rip] = request.action.handler;
  registers[Register::rflags] &= ~uint64_t{0x10500};  // RF, DF, TF
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
  out.altstack = {frame->stack_sp, frame->stack_flags & ~SS_ONSTACK, frame->stack_size};
  const uint64_t header = 512, seven = 7;
  if (frame->fpstate == 0) {
    const uint16_t control = 0x37f;
    const uint32_t mxcsr = 0x1f80;
    std::memcpy(out.state.bytes.data(), &control, sizeof control);
    std::memcpy(out.state.bytes.data() + 24, &mxcsr, sizeof mxcsr);
  } else {
    const auto software = memory.load<SoftwareBytes>(frame->fpstate + kSoftware);
    const bool extended = software && software->magic1 == kMagic1;
    const size_t size = extended ? kStateSize : 512;
    if (memory.read(frame->fpstate, std::span(out.state.bytes).first(size)) != size)
      return std::nullopt;
    std::memset(out.state.bytes.data() + kSoftware, 0, 512 - kSoftware);
  }
  std::memset(out.state.bytes.data() + header, 0, 64);
  std::memcpy(out.state.bytes.data() + header, &seven, sizeof seven);
  return out;
}

}  // namespace heddle
