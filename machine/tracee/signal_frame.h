// x86-64 rt signal frames, built and taken down as the kernel does (arch/x86/kernel/signal_64.c,
// arch/x86/include/uapi/asm/sigcontext.h).
#pragma once

#include "machine/tracee/signal_state.h"
#include "trace_format/registers.h"

namespace heddle {

// XSAVE standard format: legacy area (512 bytes), header (64), AVX (256). xstate_bv is always 7.
struct ExtendedState {
  std::array<uint8_t, 832> bytes{};
};

struct FrameRequest {
  SignalInfo info;
  SignalAction action;
  uint64_t old_mask = 0;  // what rt_sigreturn restores
  AlternateStack altstack;
};

// Writes the frame, and sets the registers and extended state for the handler's first instruction.
// False, with nothing changed but memory, where the stack cannot be written.
bool push_signal_frame(GuestMemory& memory, Registers& registers, ExtendedState& state,
                       const FrameRequest& request, std::vector<MemoryEffect>* written);

struct RestoredFrame {
  Registers registers;  // fs_base is not part of a frame: zero
  ExtendedState state;
  uint64_t mask = 0;
  AlternateStack altstack;
};

// The frame that rt_sigreturn, called with these registers, takes down.
std::optional<RestoredFrame> pop_signal_frame(const GuestMemory& memory,
                                              const Registers& at_sigreturn);

}  // namespace heddle
