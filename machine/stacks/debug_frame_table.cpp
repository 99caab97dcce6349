#include "machine/stacks/debug_frame_table.h"

#include <algorithm>
#include <cstring>

namespace heddle {
namespace {

constexpr uint32_t kCie = ~uint32_t{0};     // in the place of a CIE's offset
constexpr uint32_t kLong = ~uint32_t{0};    // a length in the 64-bit format follows
constexpr uint64_t kId = 4, kLocation = 8;  // offsets in an entry: length, id, location, range

}  // namespace

DebugFrameTable::DebugFrameTable(const ElfImage& image) {
  const auto section = image.section(".debug_frame");
  if (!section) return;
  const auto contents = section->contents.bytes();
  bytes_.assign(contents.begin(), contents.end());
  const TableBytes in(contents);
  const auto put = [&](uint64_t offset, auto value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
  };
  for (uint64_t at = 0; const auto length = in.get<uint32_t>(at);) {
    if (*length == kLong || *length < kId || *length > contents.size() - at - kId) break;
    const uint32_t id = in.get<uint32_t>(at + kId).value_or(kCie);
    const auto location = in.get<uint64_t>(at + kLocation);
    const auto size = in.get<uint64_t>(at + kLocation + sizeof(uint64_t));
    if (id == kCie) {
      put(at + kId, uint32_t{0});
    } else if (location && size && *length >= kId + 2 * sizeof(uint64_t)) {
      put(at + kId, static_cast<uint32_t>(at + kId - id));
      put(at + kLocation, *location + image.bias());
      entries_.push_back({*location + image.bias(), *size, at});
    }
    at += kId + *length;
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.start < b.start; });
}

std::optional<uint64_t> DebugFrameTable::find(uint64_t pc) const {
  auto it = std::upper_bound(entries_.begin(), entries_.end(), pc,
                             [](uint64_t value, const Entry& e) { return value < e.start; });
  if (it == entries_.begin() || pc - std::prev(it)->start >= std::prev(it)->size)
    return std::nullopt;
  return std::prev(it)->offset;
}

}  // namespace heddle
