#include "recorder/mapped_files.h"

#include <algorithm>

namespace heddle {

void MappedFiles::remove(uint64_t start, uint64_t size) {
  const uint64_t end = start + size;
  auto it = views_.upper_bound(start);
  if (it != views_.begin()) --it;
  while (it != views_.end() && it->first < end) {
    const uint64_t from = it->first, to = from + it->second.size;
    if (to <= start) {
      ++it;
      continue;
    }
    const View whole = it->second;
    it = views_.erase(it);
    if (from < start) {
      View left = whole;
      left.size = start - from;
      views_[from] = left;
    }
    if (to > end) {
      View right = whole;
      right.size = to - end;
      right.offset += end - from;
      it = views_.emplace(end, right).first;
    }
  }
}

void MappedFiles::add(uint64_t start, const View& view) {
  remove(start, view.size);
  views_[start] = view;
}

void MappedFiles::move(uint64_t start, uint64_t size, uint64_t new_start, uint64_t new_size) {
  auto it = views_.upper_bound(start);
  if (it == views_.begin()) return remove(new_start, new_size);
  --it;
  if (start - it->first >= it->second.size) return remove(new_start, new_size);
  View moved = it->second;
  moved.offset += start - it->first;
  moved.size = new_size;
  remove(start, size);
  add(new_start, moved);
}

bool MappedFiles::shows(const FileIdentity& file) const {
  return std::ranges::any_of(views_, [&](const auto& v) { return v.second.file == file; });
}

std::optional<MappedFiles::View> MappedFiles::at(uint64_t start) const {
  const auto it = views_.find(start);
  if (it == views_.end()) return std::nullopt;
  return it->second;
}

std::vector<MemoryRange> MappedFiles::showing(const FileIdentity& file, uint64_t offset,
                                              uint64_t size, bool privately) const {
  std::vector<MemoryRange> out;
  const uint64_t end = offset + size < offset ? ~uint64_t{0} : offset + size;
  for (const auto& [start, view] : views_) {
    if (view.file != file || (privately && view.shared)) continue;
    const uint64_t from = std::max(offset, view.offset);
    const uint64_t to = std::min(end, view.offset + view.size);
    if (from < to) out.push_back({start + (from - view.offset), to - from});
  }
  return out;
}

uint32_t SharedNumbers::of(const FileIdentity& file) const {
  const auto it = numbers_.find(file);
  return it == numbers_.end() ? 0 : it->second;
}

uint32_t SharedNumbers::give(const FileIdentity& file) {
  const auto next = static_cast<uint32_t>(numbers_.size() + 1);
  return numbers_.try_emplace(file, next).first->second;
}

}  // namespace heddle
