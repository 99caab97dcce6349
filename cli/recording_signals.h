// What signals mean to a recorder whose program they may be for.
#pragma once

#include <cstdint>
#include <vector>

#include "recorder/recorder.h"

namespace heddle::cli {

// From its making on:
//   SIGINT, SIGQUIT of the terminal   the program gets them as well, and what it does decides; two
//                                     within a second let it go, and end the recording
//   SIGINT of a process (kill)        ends the recording; the program goes on
//   SIGTERM, SIGQUIT of a process     are passed on to the program
//   SIGHUP                            of a process: likewise; of the terminal: the program's
//   SIGPIPE, SIGXFSZ                  nothing: a write that fails says so
// At most one at a time.
class RecordingSignals {
 public:
  RecordingSignals();
  ~RecordingSignals();
  RecordingSignals(const RecordingSignals&) = delete;
  RecordingSignals& operator=(const RecordingSignals&) = delete;

  // Those that heddle was started with ignored: the program is to have them so.
  const std::vector<int>& ignored() const { return ignored_; }
  // From now on they concern this recorder, which is woken `max_ns` from now (0: not).
  void concern(Recorder& recorder, uint64_t max_ns);

 private:
  std::vector<int> ignored_;
};

}  // namespace heddle::cli
