#include "machine/tracee/granted_ticks.h"

namespace heddle {

int64_t ticks_of(const heddle_hot_state& hot) {
  int64_t now = hot.ticks_granted - hot.ticks_left;
  for (const int64_t left : hot.ticks_more) now -= left;
  return now;
}

// The tick that takes a counter below 0 may be the last of the budget, so all but one are given
// out.
void grant(heddle_hot_state& hot, Ticks ticks, Ticks budget, bool shared_out) {
  const auto give = static_cast<int64_t>(budget - 1);
  const int64_t share = shared_out ? give / HEDDLE_COUNTERS : 0;
  for (size_t i = 0; i < HEDDLE_COUNTERS; ++i)
    hot.ticks_given[i] = i == 0 ? give - share * (HEDDLE_COUNTERS - 1) : share;
  for (size_t i = 0; i < HEDDLE_COUNTERS; ++i) counter(hot, i) = hot.ticks_given[i];
  hot.ticks_granted = static_cast<int64_t>(ticks) + give;
  hot.ticks_end = static_cast<int64_t>(ticks + budget);
}

void gather_ticks(heddle_hot_state& hot) {
  for (size_t i = 1; i < HEDDLE_COUNTERS; ++i) {
    const int64_t left = counter(hot, i);
    counter(hot, i) -= left;
    hot.ticks_given[i] -= left;
    hot.ticks_left += left;
    hot.ticks_given[0] += left;
  }
}

}  // namespace heddle
