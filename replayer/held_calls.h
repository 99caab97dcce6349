// Calls that the runtime answers during a replay: held back until the run to the event after them.
#pragma once

#include <vector>

#include "replayer/guest.h"
#include "trace_format/event.h"

namespace heddle {

// The runtime logged them without a stop, and answers them without one. What it cannot compare it
// declines, so a call that was not answered is where the run differs from the recording.
class HeldCalls {
 public:
  // Takes the event if it is such a call, of the same task as those held; false otherwise.
  bool hold(const Event& event);

  bool empty() const { return events_.empty(); }
  // Only if not empty.
  TaskId task() const { return events_.front().place.task; }

  // Gives them to the guest's runtime, in their order.
  void give(Guest& guest) const;
  // After a run with them: the first that was not answered, or null.
  const Event* unanswered(const Guest& guest) const;

  // Takes the last one back.
  Event take_last();
  void clear() { events_.clear(); }

 private:
  std::vector<Event> events_;
};

}  // namespace heddle
