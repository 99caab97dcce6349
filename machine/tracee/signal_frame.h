// x86-64 rt signal frames, built and taken down as the kernel does (arch/x86/kernel/signal_64.c,
// arch/x86/kernel/fpu/signal.c, arch/x86/include/uapi/asm/sigcontext.h).
#pragma once

#include "machine/tracee/signal_state.h"
#include "trace_format/registers.h"

namespace heddle {

// XSAVE standard format: legacy area (512 bytes), header (64), AVX (256). xstate_bv is always 7,
// and mxcsr_mask always kMxcsrMask, so that equal registers are equal bytes on every machine.
struct ExtendedState {
  std::array<uint8_t, 832> bytes{};

  // What a handler starts with, and what the processor starts with.
  static ExtendedState initial();
};
// Every x86-64 processor has these bits of MXCSR; AMD's have one more.
inline constexpr uint32_t kMxcsrMask = 0xffff;

// Where a frame goes: the saved extended state of `state_size` bytes, and struct rt_sigframe below.
struct FramePlace {
  uint64_t extended = 0;
  uint64_t frame = 0;
};
// Nothing: the frame would not fit on the alternate stack.
std::optional<FramePlace> frame_place(uint64_t rsp, const SignalAction& action,
                                      const AlternateStack& stack, uint64_t state_size);

struct FrameRequest {
  SignalInfo info;
  SignalAction action;
  uint64_t old_mask = 0;  // what rt_sigreturn restores
  AlternateStack altstack;
  LastFault fault;
};

// Writes the frame, and sets the registers and extended state for the handler's first instruction.
// False, with nothing changed but memory, where the guest could not have written the frame.
bool push_signal_frame(GuestMemory& memory, Registers& registers, ExtendedState& state,
                       const FrameRequest& request);

struct RestoredFrame {
  Registers registers;  // fs_base is not part of a frame: zero
  ExtendedState state;
  uint64_t mask = 0;
  AlternateStack altstack;
};

// The frame that rt_sigreturn, called with these registers, takes down; nothing where the kernel
// would raise SIGSEGV.
std::optional<RestoredFrame> pop_signal_frame(const GuestMemory& memory,
                                              const Registers& at_sigreturn);

}  // namespace heddle
