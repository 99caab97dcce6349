// Guest code that changes: its translations are found by its pages and taken out of use.
#include <algorithm>

#include "machine/tracee/code_cache.h"
#include "machine/tracee/saved_translations.h"

namespace heddle {

bool CodeCache::holds(uint64_t start, uint64_t size) const {
  if (size == 0) return false;
  Lock lock(mutex_);
  if (saved_ && !saved_->in_use(start, start + size).empty()) return true;
  const auto held = [&](const std::vector<uint64_t>& entries) {
    return std::ranges::any_of(entries, [&](uint64_t key) {
      const auto it = by_entry_.find(key);
      if (it == by_entry_.end()) return false;
      const Block& block = *it->second.block;
      return block.pc < start + size && block.end > start;
    });
  };
  const uint64_t first = start >> 12, last = (start + size - 1) >> 12;
  if (last - first >= pages_.size())
    return std::ranges::any_of(pages_, [&](const auto& page) {
      return page.first >= first && page.first <= last && held(page.second);
    });
  for (uint64_t page = first; page <= last; ++page)
    if (const auto found = pages_.find(page); found != pages_.end() && held(found->second))
      return true;
  return false;
}

void CodeCache::invalidate(uint64_t start, uint64_t size) {
  Lock lock(mutex_);
  ++epoch_;
  ahead_.clear();
  unlinked_.clear();
  if (size == 0) return;
  const uint64_t end = start + size;
  // Blocks that were saved become like others first.
  if (saved_) {
    for (const uint32_t cluster : saved_->in_use(start, end)) {
      for (const auto& pad : saved_->pads(cluster)) pads(pad.index(), pad.landing.returns);
      for (const auto& [key, entry] : saved_->entries(cluster))
        if (!by_entry_.contains(key)) know(key, entry);
      for (const Block* block : saved_->take(cluster))
        for (const auto& link : block->links)
          incoming_.add(entry_key(link.target, link.lent), block->host + link.offset,
                        block->host + link.stub);
    }
  }
  const auto invalidate_page = [&](std::vector<uint64_t>& keys) {
    std::erase_if(keys, [&](uint64_t key) {
      // The highest bit is the one below it in every address that code can be at.
      const auto pc = static_cast<uint64_t>(static_cast<int64_t>(key) >> 1);
      const auto it = by_entry_.find(key);
      if (it == by_entry_.end()) {
        if (pc >= start && pc < end) splits_.erase(pc);
        return pc >= start && pc < end;
      }
      const Block& block = *it->second.block;
      if (block.pc >= end || block.end <= start) return false;
      incoming_.each(key,
                     [&](const IncomingLink& link) { patch(link.field, link.stub_address()); });
      remove_pad(pc);
      for (const auto& split : block.splits) splits_.erase(split.pc);
      by_entry_.erase(it);
      return true;
    });
  };
  const uint64_t first = start >> 12, last = (end - 1) >> 12;
  if (last - first < pages_.size()) {
    for (uint64_t page = first; page <= last; ++page)
      if (const auto found = pages_.find(page); found != pages_.end())
        invalidate_page(found->second);
  } else {
    for (auto& [page, keys] : pages_)
      if (page >= first && page <= last) invalidate_page(keys);
  }
}

}  // namespace heddle
