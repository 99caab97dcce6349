#include "replayer/output_descriptors.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>

namespace heddle {

std::optional<int> OutputDescriptors::stream(int descriptor) const {
  const auto it = outputs_.find(descriptor);
  if (it == outputs_.end()) return std::nullopt;
  return it->second.stream;
}

void OutputDescriptors::duplicate(int from, int64_t to, bool close_on_exec) {
  if (to < 0 || from == to) return;
  const auto it = outputs_.find(from);
  if (it == outputs_.end())
    outputs_.erase(static_cast<int>(to));
  else
    outputs_[static_cast<int>(to)] = {it->second.stream, close_on_exec};
}

void OutputDescriptors::called(uint64_t number, const std::array<uint64_t, 6>& a, int64_t result) {
  const int descriptor = static_cast<int>(a[0]);
  switch (number) {
    case SYS_dup:
    case SYS_dup2:
      duplicate(descriptor, result, false);
      break;
    case SYS_dup3:
      duplicate(descriptor, result, (a[2] & O_CLOEXEC) != 0);
      break;
    case SYS_fcntl:
      if (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC)
        duplicate(descriptor, result, a[1] == F_DUPFD_CLOEXEC);
      if (a[1] == F_SETFD && result == 0)
        if (const auto it = outputs_.find(descriptor); it != outputs_.end())
          it->second.close_on_exec = (a[2] & FD_CLOEXEC) != 0;
      break;
    case SYS_close:
      outputs_.erase(descriptor);
      break;
    case SYS_close_range:
      if (result != 0) break;
      for (auto it = outputs_.begin(); it != outputs_.end();) {
        const bool inside = it->first >= descriptor && static_cast<uint64_t>(it->first) <= a[1];
        if (inside && (a[2] & CLOSE_RANGE_CLOEXEC)) it->second.close_on_exec = true;
        it = inside && !(a[2] & CLOSE_RANGE_CLOEXEC) ? outputs_.erase(it) : std::next(it);
      }
      break;
    default:
      break;
  }
}

void OutputDescriptors::executed() {
  std::erase_if(outputs_, [](const auto& output) { return output.second.close_on_exec; });
}

}  // namespace heddle
