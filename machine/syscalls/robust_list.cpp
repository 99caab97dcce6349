#include "machine/syscalls/robust_list.h"

#include <linux/futex.h>

#include <cstring>

namespace heddle {
namespace {

struct Head {
  uint64_t next;
  int64_t futex_offset;
  uint64_t pending;
};

constexpr uint64_t kPriorityInheriting = 1;  // in a pointer to an entry

}  // namespace

std::vector<MemoryEffect> robust_list_effects(uint64_t head, uint32_t tid,
                                              const GuestMemory& memory) {
  std::vector<MemoryEffect> effects;
  const auto list = head == 0 ? std::nullopt : memory.load<Head>(head);
  if (!list) return effects;
  const auto dies = [&](uint64_t entry) {
    const uint64_t at = (entry & ~kPriorityInheriting) + static_cast<uint64_t>(list->futex_offset);
    const auto word = memory.load<uint32_t>(at);
    if (!word || (*word & FUTEX_TID_MASK) != tid) return;
    const uint32_t left = (*word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    MemoryEffect effect{at, std::vector<uint8_t>(sizeof left)};
    std::memcpy(effect.bytes.data(), &left, sizeof left);
    effects.push_back(std::move(effect));
  };
  uint64_t entry = list->next;
  for (int i = 0; i < ROBUST_LIST_LIMIT; ++i) {
    if ((entry & ~kPriorityInheriting) == head) break;
    const auto next = memory.load<uint64_t>(entry & ~kPriorityInheriting);
    if (entry != list->pending) dies(entry);
    if (!next) return effects;
    entry = *next;
  }
  if (list->pending != 0) dies(list->pending);
  return effects;
}

}  // namespace heddle
