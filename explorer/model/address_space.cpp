#include "explorer/model/address_space.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "explorer/model/answers.h"
#include "machine/pages.h"
#include "machine/tracee/layout.h"

namespace heddle::model {
namespace {

// TASK_SIZE less the gap for a stack of the default size.
constexpr uint64_t kTop = 0x7fff'f7ff'f000;
constexpr uint64_t kStackSize = uint64_t{8} << 20;

}  // namespace

AddressSpace::AddressSpace(const event::Exec& exec) {
  for (const auto& mapping : exec.mappings) {
    const uint64_t size =
        mapping.path == "[stack]" ? std::max(mapping.size, kStackSize) : mapping.size;
    take(mapping.start + mapping.size - size, size);
  }
  take(layout::kFixed.start, layout::kFixed.size);
  take(layout::kLargeScratch.start, layout::kLargeScratch.size);
  for (const auto& arena : layout::kArenas) take(arena.start, arena.size);
}

bool AddressSpace::is_free(uint64_t start, uint64_t size) const {
  return std::ranges::none_of(
      taken_, [&](const Range& r) { return r.start < start + size && r.end > start; });
}

uint64_t AddressSpace::place(uint64_t size, uint64_t wanted) const {
  if (wanted != 0 && wanted % kPage == 0 && wanted <= kTop && size <= kTop - wanted &&
      is_free(wanted, size))
    return wanted;
  uint64_t top = kTop;
  for (auto range = taken_.rbegin(); range != taken_.rend(); ++range) {
    if (range->start >= top) continue;
    if (range->end <= top && top - range->end >= size) return top - size;
    top = range->start;
  }
  return top > size + 0x10000 ? top - size : 0;
}

void AddressSpace::take(uint64_t start, uint64_t size) {
  release(start, size);
  uint64_t end = start + size;
  const auto next = std::ranges::lower_bound(taken_, start, {}, &Range::start);
  auto at = taken_.insert(next, {start, end});
  if (const auto behind = std::next(at); behind != taken_.end() && behind->start == end) {
    at->end = behind->end;
    taken_.erase(behind);
  }
  if (at != taken_.begin() && std::prev(at)->end == start) {
    std::prev(at)->end = at->end;
    taken_.erase(at);
  }
}

void AddressSpace::release(uint64_t start, uint64_t size) {
  const uint64_t end = start + size;
  for (size_t i = 0; i < taken_.size();) {
    const Range range = taken_[i];
    if (range.start >= end) break;
    if (range.end <= start) {
      ++i;
      continue;
    }
    taken_.erase(taken_.begin() + static_cast<std::ptrdiff_t>(i));
    if (range.end > end)
      taken_.insert(taken_.begin() + static_cast<std::ptrdiff_t>(i), {end, range.end});
    if (range.start < start)
      taken_.insert(taken_.begin() + static_cast<std::ptrdiff_t>(i++), {range.start, start});
  }
}

SyscallAnswer AddressSpace::map(const SyscallRequest& request, uint64_t recorded) {
  const auto& a = request.arguments;
  const uint64_t size = page_up(a[1]);
  if (a[1] == 0) return done(-EINVAL);
  if (size == 0 || size > kTop) return done(-ENOMEM);
  SyscallAnswer answer = of_kind(SyscallAnswer::Kind::perform);
  uint64_t start = a[0];
  if (a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
    if (start % kPage != 0) return done(-EINVAL);
    if ((a[3] & MAP_FIXED_NOREPLACE) && !is_free(start, size)) return done(-EEXIST);
  } else {
    start = page_up(start);
    if (start == 0 || start + size > kTop || !is_free(start, size)) start = place(size, recorded);
    if (start == 0) return done(-ENOMEM);
  }
  take(start, size);
  answer.result = static_cast<int64_t>(start);
  return answer;
}

SyscallAnswer AddressSpace::remap(const SyscallRequest& request, uint64_t recorded) {
  const auto& a = request.arguments;
  const uint64_t start = a[0], size = page_up(a[1]), wanted = page_up(a[2]);
  if (start % kPage != 0 || wanted == 0) return done(-EINVAL);
  if (size == 0) return infeasible("mremap of no bytes");
  SyscallAnswer answer = of_kind(SyscallAnswer::Kind::perform);
  uint64_t moved = start;
  if (a[3] & MREMAP_FIXED) {
    moved = a[4];
  } else if (wanted > size && !is_free(start + size, wanted - size)) {
    if (!(a[3] & MREMAP_MAYMOVE)) return done(-ENOMEM);
    moved = place(wanted, recorded);
    if (moved == 0) return done(-ENOMEM);
  }
  release(start, size);
  take(moved, wanted);
  answer.result = static_cast<int64_t>(moved);
  return answer;
}

SyscallAnswer AddressSpace::call(const SyscallRequest& request, uint64_t recorded) {
  const auto& a = request.arguments;
  switch (request.number) {
    case SYS_mmap:
      return map(request, recorded);
    case SYS_mremap:
      return remap(request, recorded);
    default:
      if (a[0] % kPage != 0 || a[1] == 0) return done(-EINVAL);
      release(a[0], page_up(a[1]));
      return of_kind(SyscallAnswer::Kind::perform);
  }
}

}  // namespace heddle::model
