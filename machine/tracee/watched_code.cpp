#include "machine/tracee/watched_code.h"

#include "machine/pages.h"

namespace heddle {

void WatchedCode::watch(uint64_t page, uint32_t prot, uint64_t code) {
  const auto [at, fresh] = pages_.try_emplace(page);
  if (fresh) at->second.prot = prot;
  at->second.code.insert(code);
}

std::vector<uint64_t> WatchedCode::within(uint64_t start, uint64_t size) const {
  std::vector<uint64_t> found;
  if (size == 0) return found;
  const uint64_t last = page_down(start + size - 1);
  for (auto at = pages_.lower_bound(page_down(start)); at != pages_.end() && at->first <= last;
       ++at)
    found.push_back(at->first);
  return found;
}

WatchedCode::Page WatchedCode::release(uint64_t page) {
  auto node = pages_.extract(page);
  if (node.empty()) return {};
  // All ways to write to shared memory are watched, or it is not known.
  for (const uint64_t code : node.mapped().code) shared_.erase(code);
  return std::move(node.mapped());
}

}  // namespace heddle
