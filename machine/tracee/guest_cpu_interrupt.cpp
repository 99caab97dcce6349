// Having a thread that runs stop soon, at a place where its state is precise.
#include <algorithm>
#include <atomic>

#include "machine/runtime/runtime.h"
#include "machine/tracee/granted_ticks.h"
#include "machine/tracee/guest_cpu.h"

namespace heddle {
namespace {

// How far the runtime has come with a call, of a thread that is in it.
std::optional<runtime::Progress> progress_at(uint64_t host) {
  // The vDSO is only called while deciding.
  if (layout::kNativeClock.contains(host)) return runtime::Progress{true, true, false, false};
  return runtime::progress(host - layout::kRuntimeCode);
}

}  // namespace

// A stopped thread in the runtime whose call is not made yet goes back to the syscall instruction,
// as if the runtime had declined; its next stop is the syscall exit. False for any other thread.
bool GuestCpu::retreat() {
  auto regs = thread_.registers();
  const auto progress = progress_at(regs.rip);
  if (!progress || progress->called) return false;
  const auto state = load_state();
  Registers guest = to_guest(regs);
  if (progress->registers_saved)
    std::copy(std::begin(state.saved), std::end(state.saved), guest.values.begin());
  if (progress->flags_saved) guest[Register::rflags] = state.saved_flags;
  guest[Register::rip] = state.syscall_stop;
  thread_.set_registers(to_host(guest, regs));
  return true;
}

void GuestCpu::keep_running(bool soon) {
  if (soon && !retreat()) {
    auto& memory = process_.memory();
    memory.store<uint64_t>(state_ + HEDDLE_STATE_CALLS_LEFT, 0);
    // A call that is made comes to its end, and no further.
    if (progress_at(thread_.registers().rip))
      memory.store<uint64_t>(state_ + HEDDLE_STATE_SYSCALL_RETURN, HostProcess::kServedStop);
    auto& state = hot();
    auto regs = thread_.registers();
    const uint64_t in_budget = regs.rip - (layout::kMissCode + runtime::budget());
    if (in_budget < runtime::miss_code().size() - runtime::budget()) {
      state.ticks_end = 0;  // the counters are being filled
    } else {
      const int64_t now = ticks_of(state);
      const auto origin = cache_->origin_at(regs.rip);
      // One of 0 is a budget exit under way already.
      const int64_t most = 1 + (origin ? origin->turns : 0);
      if (origin && origin->counting >= 0) {
        const size_t i =
            origin->counting == HEDDLE_HOT_TICKS_LEFT
                ? 0
                : 1 + static_cast<size_t>(origin->counting - HEDDLE_HOT_TICKS_MORE) / 8;
        regs.rcx -= static_cast<uint64_t>(std::max<int64_t>(counter(state, i) - most, 0));
        thread_.set_registers(regs);
      }
      int64_t left = 0;
      for (size_t i = 0; i < HEDDLE_COUNTERS; ++i) {
        counter(state, i) = std::min(counter(state, i), most);
        left += counter(state, i);
      }
      state.ticks_granted = now + left;
      state.ticks_end = now;
    }
  }
  thread_.resume();
}

void GuestCpu::end_soon() {
  std::atomic_ref(hot().ticks_end) = 0;
}

}  // namespace heddle
