#include "explorer/happens_before.h"

#include <algorithm>

namespace heddle {

void VectorClock::set(StrandId strand, Clock value) {
  if (strand >= values_.size()) values_.resize(strand + 1);
  values_[strand] = value;
}

void VectorClock::join(const VectorClock& other) {
  if (other.values_.size() > values_.size()) values_.resize(other.values_.size());
  for (size_t i = 0; i < other.values_.size(); ++i)
    values_[i] = std::max(values_[i], other.values_[i]);
}

VectorClock& HappensBefore::clock_of(StrandId strand) {
  if (strand >= strands_.size()) strands_.resize(strand + 1);
  VectorClock& clock = strands_[strand];
  if (clock[strand] == 0) clock.set(strand, 1);
  return clock;
}

void HappensBefore::tick(StrandId strand) {
  VectorClock& clock = clock_of(strand);
  clock.set(strand, clock[strand] + 1);
}

void HappensBefore::fork(StrandId parent, StrandId child) {
  const VectorClock published = clock_of(parent);  // a copy: naming the child may move the vector
  clock_of(child).join(published);
  tick(parent);
}

void HappensBefore::join(StrandId waiter, StrandId ended) {
  const VectorClock published = clock_of(ended);
  clock_of(waiter).join(published);
  tick(ended);
}

void HappensBefore::acquire(StrandId strand, uint64_t object) {
  const auto found = objects_.find(object);
  if (found == objects_.end() || found->second.only_releaser == strand) return;
  clock_of(strand).join(found->second.released);
}

void HappensBefore::release(StrandId strand, uint64_t object) {
  const VectorClock& clock = clock_of(strand);
  const auto [found, is_new] = objects_.try_emplace(object);
  Object& target = found->second;
  if (is_new)
    target.only_releaser = strand;
  else if (target.only_releaser != strand)
    target.only_releaser = 0;
  target.released.join(clock);
  tick(strand);
}

void HappensBefore::acquire_release(StrandId strand, uint64_t object) {
  acquire(strand, object);
  release(strand, object);
}

}  // namespace heddle
