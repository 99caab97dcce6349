#include "explorer/concurrent_part.h"

#include <sys/syscall.h>

#include <set>

namespace heddle {

size_t first_concurrent(const std::vector<Event>& recording, const KernelOrder& order) {
  std::set<uint64_t> taken;
  for (const Event& event : recording)
    if (const auto* signal = std::get_if<event::Signal>(&event.body))
      taken.insert(static_cast<uint64_t>(signal->number));
  for (size_t i = 1; i < recording.size(); ++i) {
    const auto* call = std::get_if<event::Syscall>(&recording[i].body);
    if (!call || !order.own(recording[i].place.task)) continue;
    if (call->child != 0 && order.own(call->child)) return i;
    if (call->number == SYS_rt_sigaction && call->arguments[1] != 0 &&
        taken.contains(call->arguments[0]))
      return i;
  }
  return recording.size();
}

}  // namespace heddle
