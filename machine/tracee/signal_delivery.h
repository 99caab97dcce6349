// A task enters and leaves a signal handler: frame, registers, masks, alternate stack. The same for
// recording, replaying and exploring.
#pragma once

#include "machine/tracee/guest_cpu.h"
#include "machine/tracee/signal_frame.h"

namespace heddle {

// Enters the handler of info.number. `restored` is the mask that the handler's return restores, if
// it is not the present one. False where the frame could not be written; nothing but memory has
// changed then. The thread is the one that holds the task's extended registers.
bool enter_handler(TaskContext& context, HostThread& thread, GuestMemory& memory,
                   SignalState& signals, const SignalInfo& info,
                   std::optional<uint64_t> restored = std::nullopt);
// Likewise, with the task's extended registers given.
bool enter_handler(TaskContext& context, RawExtendedState& extended, GuestMemory& memory,
                   SignalState& signals, const SignalInfo& info,
                   std::optional<uint64_t> restored = std::nullopt);

// rt_sigreturn. False where the kernel would raise SIGSEGV; nothing has changed then.
bool leave_handler(TaskContext& context, HostThread& thread, const GuestMemory& memory,
                   SignalState& signals);
bool leave_handler(TaskContext& context, RawExtendedState& extended, const GuestMemory& memory,
                   SignalState& signals);

}  // namespace heddle
