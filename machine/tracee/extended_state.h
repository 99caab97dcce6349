// Between ptrace's image of the extended registers and the canonical one of signal frames.
#pragma once

#include "machine/tracee/host_thread.h"
#include "machine/tracee/signal_frame.h"

namespace heddle {

// x87, SSE and AVX state with every component marked as in use, so that equal registers are equal
// bytes (what a component's init optimisation left out is filled in by ptrace). Where the last x87
// instruction was is an address of the code cache, and never shows.
ExtendedState canonical_state(const RawExtendedState& raw);

// `raw` with the components of `state` replaced.
RawExtendedState with_canonical(RawExtendedState raw, const ExtendedState& state);

}  // namespace heddle
