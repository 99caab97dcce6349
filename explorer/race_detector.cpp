#include "explorer/race_detector.h"

#include <algorithm>
#include <bit>

namespace heddle {
namespace {

// Objects of HappensBefore: words of four bytes, the size of a futex, in the lower half of the
// numbers; what the caller numbers in the upper half.
constexpr uint64_t kNumbered = uint64_t{1} << 63;
constexpr uint64_t kSignal = uint64_t{1} << 62;

uint64_t word_object(uint64_t address) {
  return address / 4;
}

// The words of a granule that `bytes` touch.
template <typename Visit>
void for_each_word(uint64_t granule, ByteMask bytes, Visit visit) {
  if (bytes & 0x0f) visit(word_object(granule * kGranuleBytes));
  if (bytes & 0xf0) visit(word_object(granule * kGranuleBytes + 4));
}

// Calls visit(granule, bytes) for each granule of [address, address + size).
template <typename Visit>
void for_each_granule(uint64_t address, uint64_t size, Visit visit) {
  while (size > 0) {
    const uint64_t offset = address % kGranuleBytes;
    const uint64_t length = std::min(size, kGranuleBytes - offset);
    visit(address / kGranuleBytes, static_cast<ByteMask>(((1u << length) - 1) << offset));
    address += length;
    size -= length;
  }
}

// The bytes of a granule that lie in [address, address + size), which touches it.
ByteMask inside(uint64_t granule, uint64_t address, uint64_t size) {
  const uint64_t start = granule * kGranuleBytes;
  const uint64_t from = std::max(address, start) - start;
  const uint64_t to = std::min(address + size - start, kGranuleBytes);
  return static_cast<ByteMask>(((1u << to) - 1) & ~((1u << from) - 1));
}

void forget_records(ShadowCell& cell, ByteMask gone) {
  for (size_t i = cell.size(); i-- > 0;) {
    if (cell[i].bytes & ~gone)
      cell[i].bytes &= static_cast<ByteMask>(~gone);
    else
      cell.erase(i);
  }
}

// `access` cut to the bytes of a granule.
Access cut(Access access, uint64_t granule, ByteMask bytes) {
  const int low = std::countr_zero(bytes);
  access.address = granule * kGranuleBytes + static_cast<uint64_t>(low);
  access.size = static_cast<uint32_t>(8 - std::countl_zero(bytes) - low);
  return access;
}

Access unpack(const ShadowRecord& record, uint64_t granule) {
  Access access;
  access.strand = record.strand;
  access.place = {record.task, record.ticks, record.pc, record.phase};
  access.kind = record.kind;
  access.by_call = record.by_call;
  return cut(access, granule, record.bytes);
}

}  // namespace

void RaceDetector::access(const Access& access) {
  lock_ordered_pc_ = 0;
  for_each_granule(access.address, access.size, [&](uint64_t granule, ByteMask bytes) {
    access_granule(access, granule, bytes);
  });
}

void RaceDetector::access_granule(const Access& access, uint64_t granule, ByteMask bytes) {
  ShadowCell& cell = shadow_.cell(granule);
  if (access.kind == AccessKind::locked) cell.synchronising |= bytes;
  if (const ByteMask synchronising = bytes & cell.synchronising) {
    synchronise(access, granule, synchronising);
    bytes &= static_cast<ByteMask>(~cell.synchronising);
    if (bytes == 0) return;
  }
  if (access.ordered_only) return;

  const StrandId strand = access.strand;
  ShadowRecord now{.pc = access.place.pc,
                   .ticks = access.place.ticks,
                   .strand = strand,
                   .clock = all_edges_.epoch(strand),
                   .structure_clock = structure_.epoch(strand),
                   .task = access.place.task,
                   .bytes = bytes,
                   .kind = access.kind,
                   .phase = access.place.phase,
                   .by_call = access.by_call};
  for (size_t i = 0; i < cell.size(); ++i) {
    const ShadowRecord& known = cell[i];
    // The same access again, with no edge since: all that conflicts with it was found the first
    // time or when the other side came.
    if (known.strand == strand && known.pc == now.pc && known.clock == now.clock &&
        known.structure_clock == now.structure_clock && known.kind == now.kind &&
        known.bytes == bytes)
      return;
  }
  for (size_t i = 0; i < cell.size();) {
    const ShadowRecord& known = cell[i];
    const ByteMask overlap = known.bytes & bytes;
    if (overlap == 0) {
      ++i;
      continue;
    }
    if (known.strand == strand) {
      // Replaced by the newer record of the same site.
      if (known.pc == now.pc && known.kind == now.kind && known.bytes == bytes)
        cell.erase(i);
      else
        ++i;
      continue;
    }
    const bool structural = structure_.ordered(known.strand, known.structure_clock, strand);
    const bool conflicts = known.writes() || now.writes();
    if (conflicts && !structural) {
      if (!all_edges_.ordered(known.strand, known.clock, strand)) {
        note(pending_races_, known, access, granule, overlap);
      } else if (known.pc != lock_ordered_pc_ || known.kind != lock_ordered_kind_) {
        note(pending_lock_ordered_, known, access, granule, overlap);
        lock_ordered_pc_ = known.pc;
        lock_ordered_kind_ = known.kind;
      }
    }
    // What comes after a write that covers the record races with the write if with the record.
    if (structural && now.writes() && (known.bytes & ~bytes) == 0)
      cell.erase(i);
    else
      ++i;
  }
  cell.add(now);
}

void RaceDetector::note_contended(const Access& access, uint64_t granule, ByteMask bytes) {
  const auto known_users = users_.find(granule);
  if (known_users == users_.end() && users_.size() >= limits_.racing_words) return;
  std::vector<ShadowRecord>& users = users_[granule];
  ShadowRecord now{.pc = access.place.pc,
                   .ticks = access.place.ticks,
                   .strand = access.strand,
                   .structure_clock = structure_.epoch(access.strand),
                   .task = access.place.task,
                   .bytes = bytes,
                   .kind = access.kind,
                   .phase = access.place.phase,
                   .by_call = access.by_call};
  for (const ShadowRecord& known : users) {
    if (known.strand == now.strand || !(known.bytes & bytes)) continue;
    if (!known.writes() && !now.writes()) continue;
    if (structure_.ordered(known.strand, known.structure_clock, now.strand)) continue;
    const std::pair one{known.pc, known.kind}, other{now.pc, now.kind};
    const auto [low, high] = std::minmax(one, other);
    const PairKey key{low.first, low.second, high.first, high.second};
    if (contended_.size() >= limits_.contended && !contended_.contains(key)) continue;
    settle(contended_, key,
           {{unpack(known, granule), cut(access, granule, bytes), 1}, appeared_++, bytes});
  }
  std::erase_if(users, [&](const ShadowRecord& known) { return known.strand == now.strand; });
  if (users.size() == kMostUsers) users.erase(users.begin());
  users.push_back(now);
}

void RaceDetector::synchronise(const Access& access, uint64_t granule, ByteMask bytes) {
  note_contended(access, granule, bytes);
  for_each_word(granule, bytes, [&](uint64_t object) {
    switch (access.kind) {
      case AccessKind::read:
        all_edges_.acquire(access.strand, object);
        break;
      case AccessKind::write:
        all_edges_.release(access.strand, object);
        break;
      case AccessKind::update:
      case AccessKind::locked:
        all_edges_.acquire_release(access.strand, object);
        break;
    }
  });
}

void RaceDetector::mark(uint64_t address, uint32_t size) {
  for_each_granule(address, size, [&](uint64_t granule, ByteMask bytes) {
    shadow_.cell(granule).synchronising |= bytes;
  });
}

void RaceDetector::note(Pending& pending, const ShadowRecord& earlier, const Access& later,
                        uint64_t granule, ByteMask overlap) {
  const std::pair one{earlier.pc, earlier.kind};
  const std::pair other{later.place.pc, later.kind};
  const auto [low, high] = std::minmax(one, other);
  const PairKey key{low.first, low.second, high.first, high.second};

  auto word = pending.find(granule);
  if (word == pending.end()) {
    if (pending.size() >= limits_.racing_words) return;
    word = pending.try_emplace(granule).first;
  }
  auto& [keys, pairs] = word->second;
  const auto index = static_cast<size_t>(std::ranges::find(keys, key) - keys.begin());
  if (index == keys.size()) {
    if (pairs.size() >= limits_.pairs_per_word) return;
    Pair pair{{unpack(earlier, granule), {}, 0}, appeared_++, 0};
    ByteMask touched = 0;
    for_each_granule(later.address, later.size, [&](uint64_t at, ByteMask bytes) {
      if (at == granule) touched = bytes;
    });
    pair.candidate.second = cut(later, granule, touched);
    keys.push_back(key);
    pairs.push_back(pair);
  }
  ++pairs[index].candidate.count;
  pairs[index].bytes |= overlap;
}

void RaceDetector::fork(StrandId parent, StrandId child) {
  all_edges_.fork(parent, child);
  structure_.fork(parent, child);
}

void RaceDetector::join(StrandId waiter, StrandId ended) {
  all_edges_.join(waiter, ended);
  structure_.join(waiter, ended);
}

void RaceDetector::futex_wake(StrandId strand, uint64_t address) {
  mark(address, 4);
  all_edges_.release(strand, word_object(address));
}

void RaceDetector::futex_wait_returned(StrandId strand, uint64_t address) {
  mark(address, 4);
  all_edges_.acquire(strand, word_object(address));
}

void RaceDetector::release(StrandId strand, uint64_t object) {
  all_edges_.release(strand, kNumbered | object);
}

void RaceDetector::acquire(StrandId strand, uint64_t object) {
  all_edges_.acquire(strand, kNumbered | object);
}

void RaceDetector::signal_send(StrandId sender, uint64_t signal) {
  all_edges_.release(sender, kNumbered | kSignal | signal);
}

void RaceDetector::signal_deliver(StrandId handler, uint64_t signal) {
  all_edges_.acquire(handler, kNumbered | kSignal | signal);
}

void RaceDetector::forget(uint64_t address, uint64_t size) {
  if (size == 0) return;
  const uint64_t first = address / kGranuleBytes;
  const uint64_t last = (address + size - 1) / kGranuleBytes;
  const auto settle_word = [&](uint64_t granule, const ShadowCell& cell, Pending& pending,
                               Settled& settled, size_t most) {
    const auto word = pending.find(granule);
    if (word == pending.end()) return;
    const auto& [keys, pairs] = word->second;
    for (size_t i = 0; i < keys.size(); ++i)
      if ((pairs[i].bytes & ~cell.synchronising) != 0 &&
          (settled.size() < most || settled.contains(keys[i])))
        settle(settled, keys[i], pairs[i]);
    pending.erase(word);
  };
  shadow_.visit(first, last, [&](uint64_t granule, ShadowCell& cell) {
    settle_word(granule, cell, pending_races_, races_, SIZE_MAX);
    settle_word(granule, cell, pending_lock_ordered_, lock_ordered_, limits_.lock_ordered);
    // Of a word at the edge of the range only the bytes inside it are new.
    const ByteMask gone = inside(granule, address, size);
    if (cell.synchronising & gone)
      for_each_word(granule, gone, [&](uint64_t object) {
        const ByteMask word = object % 2 ? 0xf0 : 0x0f;
        if ((word & ~gone & cell.synchronising) == 0) all_edges_.forget(object);
      });
    forget_records(cell, gone);
    if (cell.synchronising & gone) users_.erase(granule);
    cell.synchronising &= static_cast<ByteMask>(~gone);
  });
}

void RaceDetector::forget_accesses(uint64_t address, uint64_t size) {
  if (size == 0) return;
  shadow_.visit(address / kGranuleBytes, (address + size - 1) / kGranuleBytes,
                [&](uint64_t granule, ShadowCell& cell) {
                  forget_records(cell, inside(granule, address, size));
                });
}

void RaceDetector::settle(Settled& settled, const PairKey& key, const Pair& pair) {
  const auto [found, is_new] = settled.try_emplace(key, pair);
  if (is_new) return;
  const uint64_t count = found->second.candidate.count + pair.candidate.count;
  if (pair.order < found->second.order) found->second = pair;
  found->second.candidate.count = count;
}

std::vector<RaceCandidate> RaceDetector::collect(const Settled& settled,
                                                 const Pending& pending) const {
  Settled all = settled;
  for (const auto& [granule, word] : pending) {
    const ShadowCell* cell = shadow_.find(granule);
    for (size_t i = 0; i < word.keys.size(); ++i)
      if ((word.pairs[i].bytes & ~cell->synchronising) != 0)
        settle(all, word.keys[i], word.pairs[i]);
  }
  std::vector<const Pair*> by_order;
  for (const auto& [key, pair] : all) by_order.push_back(&pair);
  std::ranges::sort(by_order, {}, &Pair::order);
  std::vector<RaceCandidate> candidates;
  candidates.reserve(by_order.size());
  for (const Pair* pair : by_order) candidates.push_back(pair->candidate);
  return candidates;
}

std::vector<RaceCandidate> RaceDetector::races() const {
  return collect(races_, pending_races_);
}

std::vector<RaceCandidate> RaceDetector::lock_ordered() const {
  // A pair that also races without any order is the better target of the two: only there.
  const auto same_sites = [](const RaceCandidate& a, const RaceCandidate& b) {
    return std::minmax(a.first.place.pc, a.second.place.pc) ==
           std::minmax(b.first.place.pc, b.second.place.pc);
  };
  const std::vector<RaceCandidate> racing = races();
  std::vector<RaceCandidate> candidates = collect(lock_ordered_, pending_lock_ordered_);
  std::erase_if(candidates, [&](const RaceCandidate& candidate) {
    return std::ranges::any_of(
        racing, [&](const RaceCandidate& race) { return same_sites(race, candidate); });
  });
  if (candidates.size() > limits_.lock_ordered) candidates.resize(limits_.lock_ordered);
  return candidates;
}

std::vector<RaceCandidate> RaceDetector::contended() const {
  return collect(contended_, {});
}

bool RaceDetector::synchronises(uint64_t address) const {
  const ShadowCell* cell = shadow_.find(address / kGranuleBytes);
  return cell && (cell->synchronising >> address % kGranuleBytes & 1) != 0;
}

}  // namespace heddle
