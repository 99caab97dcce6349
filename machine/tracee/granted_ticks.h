// The ticks that a run may still take, in the counters that its translation takes them off.
#pragma once

#include <cstddef>

#include "machine/runtime/task_state.h"
#include "trace_format/place.h"

namespace heddle {

// HEDDLE_COUNTERS of them.
inline int64_t& counter(heddle_hot_state& hot, size_t i) {
  return i == 0 ? hot.ticks_left : hot.ticks_more[i - 1];
}

// The task's ticks as the counters have them now.
int64_t ticks_of(const heddle_hot_state& hot);

// Lets the task, which has taken `ticks`, take `budget` more (at least 1): the budget exit comes
// with the last. `shared_out`: for a fast translation, which uses all counters, and comes for more
// (machine/runtime/misses.c) when it has used up one, after HEDDLE_REFILL ticks at the latest.
void grant(heddle_hot_state& hot, Ticks ticks, Ticks budget, bool shared_out);

// One counter holds all that is left, for code that has one counter; `uncounted` more are taken.
void gather_ticks(heddle_hot_state& hot, int64_t uncounted);

}  // namespace heddle
