// Calls that the runtime answers during a replay: held back until the run to the event after them.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "machine/tracee/signal_state.h"
#include "replayer/guest.h"
#include "trace_format/event.h"
#include "trace_format/syscall_log.h"

namespace heddle {

// The runtime logged them without a stop, and answers them without one. What it cannot compare it
// declines, so a call that was not answered is where the run differs from the recording.
class HeldCalls {
 public:
  // Takes the event if it is such a call, of the same task as those held; false otherwise. Where it
  // is a write to the program's `stream`, the bytes are kept when it is answered.
  bool hold(const Event& event, std::optional<int> stream = std::nullopt);

  // The same for one that the runtime logged, with the number of its event. Not for a call that may
  // have written to a stream.
  bool hold(const heddle_log_entry& call, std::span<const uint8_t> entry, uint64_t number);

  bool empty() const { return calls_.empty(); }
  // Only if not empty: of the last one.
  TaskId task() const { return last_.task; }
  const Place& place() const { return last_; }

  // Gives them to the guest's runtime, in their order.
  void give(Guest& guest) const;
  // After a run with them: the first that was not answered, or nothing.
  std::optional<Event> unanswered(const Guest& guest) const;
  // After a run with them: what those that were answered wrote to the program's streams.
  void show(const Guest& guest,
            const std::function<void(int stream, std::span<const uint8_t> bytes)>& sink);

  // Takes the last one back.
  Event take_last();
  void clear();

 private:
  struct Call {
    uint64_t number;  // of the event
    size_t entry;     // where its entry is in `entries_`
    int stream;       // 0: none
  };
  std::vector<Call> calls_;
  std::vector<uint8_t> entries_;
  Place last_;
  size_t streams_ = 0;  // calls with one
};

}  // namespace heddle
