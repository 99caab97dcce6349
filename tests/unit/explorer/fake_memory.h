// Guest memory without a guest.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "machine/guest_memory.h"
#include "trace_format/event.h"

namespace heddle {

// What map() named is mapped and zero at first; everything else is not.
class FakeMemory final : public GuestMemory {
 public:
  void map(uint64_t address, size_t size) { regions_[address].resize(size); }

  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    const auto region = find(address);
    if (region == regions_.end()) return 0;
    const uint64_t offset = address - region->first;
    const size_t count = std::min<size_t>(out.size(), region->second.size() - offset);
    std::copy_n(region->second.begin() + static_cast<std::ptrdiff_t>(offset), count, out.begin());
    return count;
  }

  bool write(uint64_t address, std::span<const uint8_t> bytes) override {
    const auto found = find(address);
    if (found == regions_.end()) return false;
    auto& region = regions_.at(found->first);
    const uint64_t offset = address - found->first;
    if (bytes.size() > region.size() - offset) return false;
    std::copy(bytes.begin(), bytes.end(), region.begin() + static_cast<std::ptrdiff_t>(offset));
    return true;
  }

  void apply(const std::vector<MemoryEffect>& effects) {
    for (const auto& effect : effects) write(effect.address, effect.bytes);
  }

 private:
  using Regions = std::map<uint64_t, std::vector<uint8_t>>;
  Regions::const_iterator find(uint64_t address) const {
    auto region = regions_.upper_bound(address);
    if (region == regions_.begin()) return regions_.end();
    --region;
    return address - region->first < region->second.size() ? region : regions_.end();
  }

  Regions regions_;
};

}  // namespace heddle
