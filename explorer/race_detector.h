// Finds the pairs of accesses of one run that nothing orders.
//
// In a nutshell: every access is compared with what the shadow memory remembers of the same bytes
// (FastTrack, see happens_before.h). Locked instructions, futexes and the kernel's CLEARTID write
// make their bytes synchronisation variables; accesses to those are edges and never races. Bytes
// that turn out to be synchronising late are taken to have been so since they were allocated: races
// found on them before are dropped.
//
// Missed on purpose: more than a few accesses of a granule by as many sites (see ShadowCell); races
// hidden by an edge too many (releases accumulate; kernel objects order all their users). Reported
// though harmless: acquire and release operations of an atomic that is never touched by a locked
// instruction, as x86-64 makes plain moves of them. A report is a target, the proof is a run.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "explorer/happens_before.h"
#include "explorer/shadow_memory.h"
#include "machine/access.h"

namespace heddle {

// Two sites that conflict. `first` and `second` are the earliest such pair of accesses, in the
// order of the run, cut to the eight-byte word in which they overlap.
struct RaceCandidate {
  Access first, second;
  uint64_t count =
      0;  // pairs of accesses seen, at least: repetitions without an edge are not counted
};

class RaceDetector {
 public:
  struct Limits {
    size_t racing_words = 1 << 16;  // eight-byte words with unsettled pairs, each class; more: lost
    size_t pairs_per_word = 16;
    size_t lock_ordered = 1024;  // site pairs
    size_t contended = 256;      // site pairs
  };

  RaceDetector() = default;
  explicit RaceDetector(const Limits& limits) : limits_(limits) {}

  // Everything below is told in the order of the run.

  // An ordered_only access makes the edges that any access makes, and is never a side of a race.
  void access(const Access& access);

  // These bytes are used by locked instructions.
  void mark(uint64_t address, uint32_t size);

  void fork(StrandId parent, StrandId child);
  void join(StrandId waiter, StrandId ended);
  // FUTEX_WAKE and its like, before a waiter returns; also a task's end, with its CLEARTID address.
  void futex_wake(StrandId strand, uint64_t address);
  void futex_wait_returned(StrandId strand, uint64_t address);
  // A kernel object, channel or lock that the caller numbers (below 2^62): write, close, post are
  // releases; read, wait, take are acquires.
  void release(StrandId strand, uint64_t object);
  void acquire(StrandId strand, uint64_t object);
  // `signal` numbers the pair of a signal and who gets it (below 2^62). Installing the handler is a
  // send too. A handler is not ordered with the strand that it interrupts.
  void signal_send(StrandId sender, uint64_t signal);
  void signal_deliver(StrandId handler, uint64_t signal);

  // What was remembered of accesses to the bytes is void; what they synchronise is not.
  void forget_accesses(uint64_t address, uint64_t size);
  // The bytes are something else from now on: unmapped, freed, or the stack of an ended thread.
  void forget(uint64_t address, uint64_t size);

  // By first appearance, one for each unordered pair of sites with their kinds.
  std::vector<RaceCandidate> races() const;
  // Pairs that only synchronisation other than fork and join orders: who got the lock first.
  std::vector<RaceCandidate> lock_ordered() const;

  // Pairs of accesses to one synchronisation variable, of which one writes: who locks first, who
  // sees the flag. Nothing is wrong with them, but turning them round is another run.
  std::vector<RaceCandidate> contended() const;

  // True if the byte at `address` synchronises (so far).
  bool synchronises(uint64_t address) const;

 private:
  // pcs and kinds of both sides, the smaller side first.
  using PairKey = std::tuple<uint64_t, AccessKind, uint64_t, AccessKind>;
  struct Pair {
    RaceCandidate candidate;
    uint64_t order = 0;  // of appearance
    ByteMask bytes = 0;  // where the two sides met
  };
  using Settled = std::map<PairKey, Pair>;
  // The pairs of a word: void if it becomes a synchronisation variable. keys[i] is of pairs[i].
  struct WordPairs {
    std::vector<PairKey> keys;
    std::vector<Pair> pairs;
  };
  using Pending = std::unordered_map<uint64_t, WordPairs>;

  void access_granule(const Access& access, uint64_t granule, ByteMask bytes);
  void synchronise(const Access& access, uint64_t granule, ByteMask bytes);
  void note_contended(const Access& access, uint64_t granule, ByteMask bytes);
  void note(Pending& pending, const ShadowRecord& earlier, const Access& later, uint64_t granule,
            ByteMask overlap);
  static void settle(Settled& settled, const PairKey& key, const Pair& pair);
  std::vector<RaceCandidate> collect(const Settled& settled, const Pending& pending) const;

  Limits limits_;
  HappensBefore all_edges_;
  HappensBefore structure_;  // fork and join only
  ShadowMemory shadow_;
  Pending pending_races_, pending_lock_ordered_;
  Settled races_, lock_ordered_, contended_;
  // The last accesses to each synchronising granule, one of each strand at most.
  static constexpr size_t kMostUsers = 4;
  std::unordered_map<uint64_t, std::vector<ShadowRecord>> users_;
  uint64_t appeared_ = 0;
  // The earlier side of the pair that the access at hand was last found to be ordered with by locks
  // alone: large buffers meet the same one in each of their words, and one is enough.
  uint64_t lock_ordered_pc_ = 0;
  AccessKind lock_ordered_kind_ = AccessKind::read;
};

}  // namespace heddle
