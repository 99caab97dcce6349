#include "explorer/model/deadlock.h"

#include <linux/futex.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <vector>

namespace heddle::model {
namespace {

constexpr uint64_t kOwner = 8;  // of struct __pthread_mutex_s, in bytes

std::optional<TaskId> holder(uint64_t futex, TaskId waiter, const std::map<TaskId, int64_t>& tids,
                             const GuestMemory& memory) {
  const auto named = [&](std::optional<uint32_t> tid) -> std::optional<TaskId> {
    for (const auto& [task, number] : tids)
      if (tid && number == *tid && task != waiter) return task;
    return std::nullopt;
  };
  if (const auto owner = named(memory.load<uint32_t>(futex + kOwner))) return owner;
  const auto word = memory.load<uint32_t>(futex);
  return named(word ? std::optional(*word & FUTEX_TID_MASK) : std::nullopt);
}

}  // namespace

std::string deadlock_cycle(const std::map<TaskId, uint64_t>& futexes,
                           const std::map<TaskId, int64_t>& tids, const GuestMemory& memory) {
  for (const auto& [start, futex] : futexes) {
    std::vector<TaskId> path;
    std::optional<TaskId> at = start;
    while (at && futexes.contains(*at) && std::ranges::count(path, *at) == 0) {
      path.push_back(*at);
      at = holder(futexes.at(*at), *at, tids, memory);
    }
    if (!at || *at != start || path.size() < 2) continue;
    std::string text;
    for (size_t i = 0; i < path.size(); ++i) {
      char part[128];
      std::snprintf(
          part, sizeof part, "%sthread %u waits for the mutex 0x%llx, which thread %u holds",
          i == 0 ? "" : "; ", path[i], static_cast<unsigned long long>(futexes.at(path[i])),
          path[(i + 1) % path.size()]);
      text += part;
    }
    return text;
  }
  return {};
}

}  // namespace heddle::model
