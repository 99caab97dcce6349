#include "machine/resident/resident_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "machine/pages.h"
#include "machine/resident/guarded_copy.h"

namespace heddle {
namespace {

constexpr size_t kMostSaved = size_t{1} << 20;  // pages

ResidentMemory* the_memory = nullptr;

void* at(uint64_t address) {
  return reinterpret_cast<void*>(address);
}

// mprotect(2) without errno: the fault handler runs with the guest's thread-local storage.
int64_t raw_protect(uint64_t start, uint64_t size, uint32_t prot) noexcept {
  int64_t result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(10), "D"(start), "S"(size), "d"(prot)
                   : "rcx", "r11", "memory");
  return result;
}

void require(bool done, const char* what) {
  if (!done) throw ResidentUnavailable(std::string(what) + ": " + std::strerror(errno));
}

}  // namespace

// Grows without moving or asking anybody, for the fault handler.
struct ResidentMemory::Saved {
  Saved() {
    const auto reserve = [](size_t size) {
      void* got = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      require(got != MAP_FAILED, "reserving memory for saved pages");
      return got;
    };
    addresses = static_cast<uint64_t*>(reserve(kMostSaved * sizeof *addresses));
    copies = static_cast<uint8_t*>(reserve(kMostSaved * kPage));
  }
  ~Saved() {
    munmap(addresses, kMostSaved * sizeof *addresses);
    munmap(copies, kMostSaved * kPage);
  }
  uint64_t* addresses = nullptr;
  uint8_t* copies = nullptr;
  size_t count = 0;
};

ResidentMemory::ResidentMemory() : saved_(std::make_unique<Saved>()) {
  if (the_memory) throw std::logic_error("a process holds one resident guest");
  std::vector<layout::Range> wanted{layout::kFixed};
  wanted.insert(wanted.end(), layout::kArenas.begin(), layout::kArenas.end());
  for (const auto& range : wanted)
    require(mmap(at(range.start), range.size, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
                 0) == at(range.start),
            "reserving the machine's memory");
  the_memory = this;
}

ResidentMemory::~ResidentMemory() {
  for (const auto& range : ranges_) munmap(at(range.start), range.end - range.start);
  munmap(at(layout::kFixed.start), layout::kFixed.size);
  for (const auto& arena : layout::kArenas) munmap(at(arena.start), arena.size);
  the_memory = nullptr;
}

size_t ResidentMemory::saved_pages() const {
  return saved_->count;
}

const ResidentMemory::Range* ResidentMemory::range_at(uint64_t address) const {
  const auto next = std::ranges::upper_bound(ranges_, address, {}, &Range::start);
  if (next == ranges_.begin()) return nullptr;
  const Range& range = *std::prev(next);
  return address < range.end ? &range : nullptr;
}

bool ResidentMemory::mapped(uint64_t start, uint64_t end) const {
  while (start < end) {
    const Range* range = range_at(start);
    if (!range) return false;
    start = range->end;
  }
  return true;
}

void ResidentMemory::cut(uint64_t start, uint64_t end) {
  std::vector<Range> kept;
  kept.reserve(ranges_.size() + 2);
  for (const Range& range : ranges_) {
    if (range.end <= start || range.start >= end) {
      kept.push_back(range);
      continue;
    }
    if (range.start < start) {
      kept.push_back(range);
      kept.back().end = start;
    }
    if (range.end > end) {
      kept.push_back(range);
      kept.back().start = end;
    }
  }
  ranges_ = std::move(kept);
}

void ResidentMemory::insert(const Range& range) {
  ranges_.insert(std::ranges::upper_bound(ranges_, range.start, {}, &Range::start), range);
}

size_t ResidentMemory::read(uint64_t address, std::span<uint8_t> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const Range* range = range_at(address + done);
    if (!range) break;
    const size_t n = std::min<uint64_t>(out.size() - done, range->end - (address + done));
    const bool hidden = !(range->prot & PROT_READ);
    const uint64_t first = page_down(address + done), size = page_up(address + done + n) - first;
    if (hidden) raw_protect(first, size, PROT_READ);
    const bool copied = guarded_copy(out.data() + done, at(address + done), n);
    if (hidden) raw_protect(first, size, range->prot);
    if (!copied) break;  // behind the end of a file
    done += n;
  }
  return done;
}

bool ResidentMemory::write(uint64_t address, std::span<const uint8_t> bytes) {
  if (!mapped(address, address + bytes.size())) return false;
  size_t done = 0;
  while (done < bytes.size()) {
    const Range range = *range_at(address + done);
    const size_t n = std::min<uint64_t>(bytes.size() - done, range.end - (address + done));
    const bool closed = !(range.prot & PROT_WRITE);
    const uint64_t first = page_down(address + done), end = page_up(address + done + n);
    if (closed) {
      raw_protect(first, end - first, PROT_READ | PROT_WRITE);
      for (uint64_t page = first; range.tracked && is_marked_ && page < end; page += kPage)
        if (!is_saved(page)) save(page);
    }
    const bool copied = guarded_copy(at(address + done), bytes.data() + done, n);
    if (closed) raw_protect(first, end - first, range.prot);
    if (!copied) return false;
    done += n;
  }
  return true;
}

bool ResidentMemory::executable(uint64_t address, uint64_t) const {
  const Range* range = range_at(address);
  return range && (range->prot & PROT_EXEC);
}

bool ResidentMemory::holds_code(uint64_t start, uint64_t size) const {
  return std::ranges::any_of(ranges_, [&](const Range& range) {
    return range.start < start + size && range.end > start && (range.prot & PROT_EXEC);
  });
}

bool ResidentMemory::write_as_guest(uint64_t address, std::span<const uint8_t> bytes) {
  for (uint64_t at = address; at < address + bytes.size();) {
    const Range* range = range_at(at);
    if (!range || !(range->prot & PROT_WRITE)) return false;
    at = range->end;
  }
  return write(address, bytes);
}

// Nothing of the guest's is executed where it lies, so no page needs to be executable.
void ResidentMemory::real_protect(const Range& range) const {
  uint32_t prot = range.prot & (PROT_READ | PROT_WRITE);
  if (range.prot & PROT_EXEC) prot |= PROT_READ;
  if (!range.tracked || !(prot & PROT_WRITE)) {
    raw_protect(range.start, range.end - range.start, prot);
    return;
  }
  raw_protect(range.start, range.end - range.start, prot & ~uint32_t{PROT_WRITE});
  for (size_t i = 0; i < saved_->count; ++i)
    if (saved_->addresses[i] >= range.start && saved_->addresses[i] < range.end)
      raw_protect(saved_->addresses[i], kPage, prot);
}

int64_t ResidentMemory::map(uint64_t address, uint64_t size, uint32_t prot, int file,
                            uint64_t offset) {
  if (size == 0 || address % kPage != 0) return -EINVAL;
  const uint64_t end = address + page_up(size);
  bool any = false;
  for (const Range& range : ranges_) any = any || (range.start < end && range.end > address);
  if (any) keep(address, end, true);
  // Over nothing of the guest's there must be nothing of ours either.
  const int place = mapped(address, end) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  if (any && place == MAP_FIXED_NOREPLACE) unmap(address, end - address);
  const int flags = MAP_PRIVATE | MAP_NORESERVE | place | (file < 0 ? MAP_ANONYMOUS : 0);
  const auto real =
      static_cast<int>(prot & PROT_EXEC ? (prot & ~uint32_t{PROT_EXEC}) | PROT_READ : prot);
  void* got = mmap(at(address), size, real, flags, file, static_cast<off_t>(offset));
  if (got == MAP_FAILED && errno == EEXIST)
    throw ResidentUnavailable("the guest's addresses are in use here");
  if (got == MAP_FAILED) return -errno;
  cut(address, end);
  insert({address, end, prot, false, file >= 0});
  if (is_marked_) changed_.push_back({address, end, true});
  return static_cast<int64_t>(address);
}

int64_t ResidentMemory::unmap(uint64_t address, uint64_t size) {
  if (size == 0 || address % kPage != 0) return -EINVAL;
  const uint64_t end = address + page_up(size);
  keep(address, end, true);
  for (const Range& range : ranges_) {
    const uint64_t from = std::max(range.start, address), to = std::min(range.end, end);
    if (from < to) munmap(at(from), to - from);
  }
  cut(address, end);
  return 0;
}

int64_t ResidentMemory::protect(uint64_t address, uint64_t size, uint32_t prot) {
  if (address % kPage != 0) return -EINVAL;
  const uint64_t end = address + page_up(size);
  if (!mapped(address, end)) return -ENOMEM;
  std::vector<Range> pieces;
  for (const Range& range : ranges_) {
    const uint64_t from = std::max(range.start, address), to = std::min(range.end, end);
    if (from < to) pieces.push_back({from, to, prot, range.tracked, range.file});
  }
  cut(address, end);
  for (const Range& piece : pieces) {
    insert(piece);
    real_protect(piece);
    if (piece.tracked && is_marked_) changed_.push_back({piece.start, piece.end, false});
  }
  return 0;
}

int64_t ResidentMemory::remap(uint64_t address, uint64_t size, uint64_t new_address,
                              uint64_t new_size) {
  const Range* found = range_at(address);
  if (!found || size == 0 || new_size == 0) return -EFAULT;
  const Range old = *found;
  const uint64_t end = address + page_up(size), new_end = new_address + page_up(new_size);
  if (end > old.end) return -EFAULT;
  if (new_address == address) {
    if (new_end <= end) {
      if (new_end < end) unmap(new_end, end - new_end);
      return static_cast<int64_t>(address);
    }
    const int64_t got = map(end, new_end - end, old.prot);
    return got < 0 ? got : static_cast<int64_t>(address);
  }
  std::vector<uint8_t> contents(std::min(page_up(size), page_up(new_size)));
  contents.resize(read(address, contents));
  const int64_t got = map(new_address, new_size, old.prot);
  if (got < 0) return got;
  write(new_address, contents);
  unmap(address, size);
  return got;
}

int64_t ResidentMemory::forget(uint64_t address, uint64_t size) {
  if (address % kPage != 0) return -EINVAL;
  const uint64_t end = address + page_up(size);
  if (!mapped(address, end)) return -ENOMEM;
  keep(address, end, false);
  return madvise(at(address), end - address, MADV_DONTNEED) == 0 ? 0 : -errno;
}

void ResidentMemory::keep(uint64_t start, uint64_t end, bool replaced) {
  if (!is_marked_) return;
  if (replaced) changed_.push_back({start, end, true});
  for (const auto& [from, to] : kept_)
    if (from <= start && end <= to) return;
  for (const Range& range : marked_) {
    const uint64_t from = std::max(range.start, start), to = std::min(range.end, end);
    if (from >= to) continue;
    std::vector<uint8_t> resident((to - from) / kPage);
    if (mincore(at(from), to - from, resident.data()) != 0)
      continue;  // unmapped in this run: saved
    std::vector<uint64_t> known(saved_->addresses, saved_->addresses + saved_->count);
    std::ranges::sort(known);
    for (uint64_t page = from; page < to; page += kPage) {
      if (!range.file && !(resident[(page - from) / kPage] & 1)) continue;
      if (std::ranges::binary_search(known, page)) continue;
      const Range* now = range_at(page);
      const bool hidden = !now || !(now->prot & PROT_READ);
      if (hidden) raw_protect(page, kPage, PROT_READ);
      save(page);
      if (now) real_protect({page, page + kPage, now->prot, now->tracked, false});
    }
  }
  kept_.emplace_back(start, end);
}

bool ResidentMemory::is_saved(uint64_t page) const {
  for (size_t i = 0; i < saved_->count; ++i)
    if (saved_->addresses[i] == page) return true;
  return false;
}

void ResidentMemory::save(uint64_t page) {
  if (saved_->count == kMostSaved) __builtin_trap();  // 4 GiB were written
  // Behind the end of a file there is nothing to save.
  if (!guarded_copy(saved_->copies + saved_->count * kPage, at(page), kPage)) return;
  saved_->addresses[saved_->count++] = page;
}

bool ResidentMemory::handle_write_fault(uint64_t address) noexcept {
  ResidentMemory* memory = the_memory;
  if (!memory || !memory->is_marked_) return false;
  const Range* range = memory->range_at(address);
  if (!range || !range->tracked || !(range->prot & PROT_WRITE)) return false;
  const uint64_t page = page_down(address);
  if (memory->is_saved(page)) return false;
  memory->save(page);
  return raw_protect(page, kPage, range->prot & (PROT_READ | PROT_WRITE)) == 0;
}

void ResidentMemory::mark() {
  for (Range& range : ranges_) range.tracked = true;
  is_marked_ = true;
  marked_ = ranges_;
  for (const Range& range : ranges_) real_protect(range);
}

void ResidentMemory::restore_changed() {
  // What is there now and was not, or is another mapping; then what was there and is not.
  for (const auto& change : changed_) {
    if (!change.replaced) continue;
    for (const Range& range : ranges_) {
      const uint64_t from = std::max(range.start, change.start),
                     to = std::min(range.end, change.end);
      if (from < to) munmap(at(from), to - from);
    }
    for (const Range& range : marked_) {
      const uint64_t from = std::max(range.start, change.start),
                     to = std::min(range.end, change.end);
      if (from >= to) continue;
      const void* got = mmap(at(from), to - from, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
      if (got == MAP_FAILED) throw std::runtime_error("putting a mapping back");
    }
  }
  ranges_ = marked_;
  for (const auto& change : changed_)
    for (const Range& range : marked_) {
      const uint64_t from = std::max(range.start, change.start),
                     to = std::min(range.end, change.end);
      if (from < to) raw_protect(from, to - from, PROT_READ | PROT_WRITE);
    }
}

void ResidentMemory::rewind() {
  const bool changed = !changed_.empty();
  if (changed) restore_changed();
  for (size_t i = 0; i < saved_->count; ++i) {
    const uint64_t page = saved_->addresses[i];
    const uint8_t* copy = saved_->copies + i * kPage;
    const Range* range = range_at(page);
    const bool closed = range && !(range->prot & PROT_WRITE);
    if (closed) {
      // Only its protection or the supervisor let it change.
      if (std::memcmp(at(page), copy, kPage) == 0) continue;
      raw_protect(page, kPage, PROT_READ | PROT_WRITE);
    }
    std::memcpy(at(page), copy, kPage);
    if (closed) real_protect({page, page + kPage, range->prot, true, false});
  }
  if (!changed) return;
  for (const auto& change : changed_)
    for (const Range& range : marked_) {
      const uint64_t from = std::max(range.start, change.start),
                     to = std::min(range.end, change.end);
      if (from < to) real_protect({from, to, range.prot, true, false});
    }
  changed_.clear();
}

}  // namespace heddle
