#include "machine/stacks/debug_frame_table.h"

#include <algorithm>
#include <cstring>

namespace heddle {
namespace {

constexpr uint32_t kCie = ~uint32_t{0};   // in the place of a CIE's offset
constexpr uint32_t kLong = ~uint32_t{0};  // a length in the 64-bit format follows
// Offsets in an entry: length, id, and of an FDE location and range, of a CIE version,
// augmentation, and in version 4 two sizes.
constexpr uint64_t kId = 4, kLocation = 8, kVersion = 8, kSizes = 10;

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
      // Version 4 adds the sizes of addresses and segments behind the (empty) augmentation, which
      // libunwind 1.6 does not know: version 3, with two more nops (zeros) at the end.
      const uint64_t end = at + kId + *length;
      if (in.get<uint16_t>(at + kVersion) == 4 && end > at + kSizes + 2) {
        put(at + kVersion, uint8_t{3});
        std::memmove(bytes_.data() + at + kSizes, bytes_.data() + at + kSizes + 2,
                     end - (at + kSizes + 2));
        put(end - 2, uint16_t{0});
      }
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
