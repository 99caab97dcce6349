// What the race detector remembers of each eight bytes of guest memory.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "explorer/happens_before.h"
#include "machine/access.h"

namespace heddle {

// Bit i: byte i of the granule.
using ByteMask = uint8_t;
inline constexpr uint64_t kGranuleBytes = 8;

// One access to (part of) a granule, compact.
struct ShadowRecord {
  uint64_t pc = 0;
  Ticks ticks = 0;
  StrandId strand = 0;
  Clock clock = 0;            // with all edges
  Clock structure_clock = 0;  // with the edges of fork and join only
  TaskId task = 0;
  ByteMask bytes = 0;  // 0: the record is empty
  AccessKind kind = AccessKind::read;
  uint8_t phase = 0;
  uint16_t by_call = 0;  // Access::by_call

  bool writes() const { return kind != AccessKind::read; }
};

// A granule: nearly all are known by one record, so the first one is stored in place.
struct ShadowCell {
  // More than this many accesses of a granule are not remembered: the oldest go first. Races with
  // what went are missed.
  static constexpr size_t kMostRecords = 8;
  // ... and of one strand's reads, and of its writes, no more than this.
  static constexpr size_t kMostPerStrand = 2;

  ShadowRecord first;
  std::unique_ptr<std::vector<ShadowRecord>> more;
  ByteMask synchronising = 0;

  size_t size() const { return first.bytes == 0 ? 0 : 1 + (more ? more->size() : 0); }
  ShadowRecord& operator[](size_t i) { return i == 0 ? first : (*more)[i - 1]; }
  void erase(size_t i);
  void add(const ShadowRecord& record);
};

class ShadowMemory {
 public:
  ShadowCell& cell(uint64_t granule);
  // Null where nothing was remembered.
  const ShadowCell* find(uint64_t granule) const;
  // Calls `visit(granule, cell)` for the cells in [first, last] whose page is remembered.
  template <typename Visit>
  void visit(uint64_t first, uint64_t last, Visit visit) {
    const auto visit_page = [&](uint64_t number, Page& page) {
      const uint64_t low = number == first / kCells ? first % kCells : 0;
      const uint64_t high = number == last / kCells ? last % kCells : kCells - 1;
      for (uint64_t i = low; i <= high; ++i) visit(number * kCells + i, page.cells[i]);
    };
    if (last / kCells - first / kCells > pages_.size()) {
      for (const auto& [number, page] : pages_)
        if (number >= first / kCells && number <= last / kCells) visit_page(number, *page);
      return;
    }
    for (uint64_t number = first / kCells; number <= last / kCells; ++number)
      if (const auto found = pages_.find(number); found != pages_.end())
        visit_page(number, *found->second);
  }

 private:
  static constexpr uint64_t kCells = 512;  // a page of 4 KiB
  struct Page {
    ShadowCell cells[kCells];
  };
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  uint64_t last_number_ = ~uint64_t{0};
  Page* last_page_ = nullptr;
};

}  // namespace heddle
