// Finds the first Place where a replay's state is not what it should be.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "replayer/guest.h"
#include "trace_format/event.h"

namespace heddle {

struct LockstepResult {
  uint64_t events = 0;     // that both runs agreed on, with each other and with the recording
  uint64_t hashes = 0;     // StateHash events among them
  bool agreed = true;      // to the recording's end
  std::string difference;  // otherwise: what differs, where, for a person; several lines
};

// Replays `recording` twice at once, under two translations of the program: the usual one, and one
// that logs every access. After every event the registers, extended state and memory that changed
// must be equal in both and as recorded (StateHash events, registers of events). At the first
// difference the stretch since the last agreement is run again in both, halving its ticks, until
// the first tick after which they differ is known.
LockstepResult run_in_lockstep(const std::vector<Event>& recording, const PinnedFiles& files);

}  // namespace heddle
