#include "explorer/shadow_memory.h"

namespace heddle {

void ShadowCell::erase(size_t i) {
  if (i > 0) {
    more->erase(more->begin() + static_cast<std::ptrdiff_t>(i - 1));
  } else if (more && !more->empty()) {
    first = more->front();
    more->erase(more->begin());
  } else {
    first = {};
  }
}

void ShadowCell::add(const ShadowRecord& record) {
  size_t alike = 0;
  size_t oldest_alike = 0;
  for (size_t i = 0; i < size(); ++i) {
    const ShadowRecord& known = (*this)[i];
    if (known.strand != record.strand || known.writes() != record.writes()) continue;
    if ((known.bytes & ~record.bytes) != 0) continue;
    if (alike++ == 0) oldest_alike = i;
  }
  if (alike >= kMostPerStrand)
    erase(oldest_alike);
  else if (size() >= kMostRecords)
    erase(0);
  if (first.bytes == 0) {
    first = record;
    return;
  }
  if (!more) more = std::make_unique<std::vector<ShadowRecord>>();
  more->push_back(record);
}

ShadowCell& ShadowMemory::cell(uint64_t granule) {
  const uint64_t number = granule / kCells;
  if (number != last_number_) {
    std::unique_ptr<Page>& page = pages_[number];
    if (!page) page = std::make_unique<Page>();
    last_number_ = number;
    last_page_ = page.get();
  }
  return last_page_->cells[granule % kCells];
}

const ShadowCell* ShadowMemory::find(uint64_t granule) const {
  const auto found = pages_.find(granule / kCells);
  return found == pages_.end() ? nullptr : &found->second->cells[granule % kCells];
}

}  // namespace heddle
