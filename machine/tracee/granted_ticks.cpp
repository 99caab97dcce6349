#include "machine/tracee/granted_ticks.h"

#include <algorithm>

namespace heddle {

int64_t ticks_of(const heddle_hot_state& hot) {
  int64_t now = hot.ticks_granted - hot.ticks_left;
  for (const int64_t left : hot.ticks_more) now -= left;
  return now;
}

// The tick that uses a counter up may be the last of the budget, so all but one are given out, and
// one more to each counter that is in use.
void grant(heddle_hot_state& hot, Ticks ticks, Ticks budget, bool shared_out) {
  const auto give = static_cast<int64_t>(budget - 1);
  const int64_t share = shared_out ? give / HEDDLE_COUNTERS : 0;
  hot.ticks_granted = static_cast<int64_t>(ticks);
  for (size_t i = 0; i < HEDDLE_COUNTERS; ++i) {
    const int64_t given = i == 0 ? give - share * (HEDDLE_COUNTERS - 1) + 1 : share + shared_out;
    hot.ticks_given[i] = counter(hot, i) = given;
    hot.ticks_granted += given;
  }
  hot.ticks_end = static_cast<int64_t>(ticks + budget);
}

void gather_ticks(heddle_hot_state& hot) {
  for (size_t i = 1; i < HEDDLE_COUNTERS; ++i) {
    const int64_t left = std::max<int64_t>(counter(hot, i) - 1, 0);
    counter(hot, i) -= left;
    hot.ticks_given[i] -= left;
    hot.ticks_left += left;
    hot.ticks_given[0] += left;
  }
}

}  // namespace heddle
