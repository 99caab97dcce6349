// Happens-before between the logical threads of a run, by vector clocks.
//
// The algorithm is that of C. Flanagan and S. Freund, "FastTrack: Efficient and Precise Dynamic
// Race Detection", PLDI 2009: an event is named by its epoch, a strand and a value of that strand's
// own clock, and "did it happen before what strand t does now" is one comparison with t's vector.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "machine/access.h"

namespace heddle {

// A strand's own clock value. Starts at 1 and grows with every edge that leaves the strand.
using Clock = uint32_t;

// For each strand the newest of its clock values that is known; 0: nothing of it.
class VectorClock {
 public:
  Clock operator[](StrandId strand) const { return strand < values_.size() ? values_[strand] : 0; }
  void set(StrandId strand, Clock value);
  void join(const VectorClock& other);

 private:
  std::vector<Clock> values_;
};

// Strands come into being when they are first named. Objects are whatever the caller numbers: words
// of memory, pipes, signals. Not thread-safe.
class HappensBefore {
 public:
  // `child` starts after everything that `parent` did so far.
  void fork(StrandId parent, StrandId child);
  // `waiter` goes on after everything that `ended` did.
  void join(StrandId waiter, StrandId ended);
  // `strand` goes on after all releases of `object` so far. Releases accumulate: one does not take
  // away what an earlier one published, so an edge too many is possible and one too few is not.
  void acquire(StrandId strand, uint64_t object);
  void release(StrandId strand, uint64_t object);
  void acquire_release(StrandId strand, uint64_t object);
  // The object's storage is reused for another one: its releases are void.
  void forget(uint64_t object) { objects_.erase(object); }

  // The clock of what `strand` does now.
  Clock epoch(StrandId strand) { return clock_of(strand)[strand]; }
  // True if what `earlier` did at `clock` happens before what `later` does now.
  bool ordered(StrandId earlier, Clock clock, StrandId later) {
    return earlier == later || clock <= clock_of(later)[earlier];
  }

 private:
  struct Object {
    VectorClock released;
    StrandId only_releaser = 0;  // 0: several strands released it
  };
  VectorClock& clock_of(StrandId strand);
  void tick(StrandId strand);

  std::vector<VectorClock> strands_;
  std::unordered_map<uint64_t, Object> objects_;
};

}  // namespace heddle
