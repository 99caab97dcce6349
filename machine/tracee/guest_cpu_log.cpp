// What translated code logs: accesses and watched calls.
#include <utility>

#include "machine/tracee/guest_cpu.h"

namespace heddle {

void GuestCpu::resume_after_log() {
  auto regs = thread_.registers();
  regs.rcx = layout::kAccessLog.start;
  thread_.set_registers(regs);
  thread_.resume();
}

// Entries count back from the ticks granted, so they are taken out before those change.
void GuestCpu::collect_log(heddle_task_state& state) {
  std::vector<heddle_access_entry> entries((state.access_next - layout::kAccessLog.start) /
                                           sizeof(heddle_access_entry));
  if (entries.empty()) return;
  process_.memory().read(layout::kAccessLog.start, {reinterpret_cast<uint8_t*>(entries.data()),
                                                    entries.size() * sizeof(heddle_access_entry)});
  const int64_t granted = hot().ticks_granted;
  logged_.reserve(logged_.size() + entries.size());
  for (const auto& e : entries)
    logged_.push_back(
        {e.address, static_cast<Ticks>(granted - e.ticks_left), e.pc, e.size, e.kind});
  state.access_next = layout::kAccessLog.start;
}

std::vector<LogEntry> GuestCpu::drain_log() {
  heddle_task_state state = take_state();
  collect_log(state);
  process_.memory().store<uint64_t>(state_ + HEDDLE_STATE_ACCESS_NEXT, state.access_next);
  return std::exchange(logged_, {});
}

}  // namespace heddle
