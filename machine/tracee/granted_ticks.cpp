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
  auto give = static_cast<int64_t>(budget - 1);
  if (shared_out) give = std::min<int64_t>(give, HEDDLE_REFILL);
  const int64_t share = shared_out ? give / HEDDLE_COUNTERS : 0;
  hot.ticks_granted = static_cast<int64_t>(ticks);
  for (size_t i = 0; i < HEDDLE_COUNTERS; ++i) {
    const int64_t given = i == 0 ? give - share * (HEDDLE_COUNTERS - 1) + 1 : share + shared_out;
    hot.ticks_given[i] = counter(hot, i) = given;
    hot.ticks_granted += given;
  }
  hot.ticks_end = static_cast<int64_t>(ticks + budget);
}

void gather_ticks(heddle_hot_state& hot, int64_t uncounted) {
  const int64_t left = std::max<int64_t>(hot.ticks_end - ticks_of(hot) - uncounted, 1);
  const int64_t more = left - hot.ticks_left;
  hot.ticks_left = left;
  hot.ticks_given[0] += more;
  hot.ticks_granted += more + uncounted;
}

}  // namespace heddle
