// Signal handlers as strands of their own.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "explorer/race_detector.h"
#include "machine/guest_memory.h"
#include "trace_format/event.h"

namespace heddle {

// A handler interrupts its host at a point that neither chose, so nothing orders it with the host's
// code but these: installing the handler and sending the signal come before it, and so does the
// creation of the host; while the host blocks the signal, handlers of it are over or still to come;
// what raised the signal itself, or waited for one, goes on after the handler. Activations of one
// signal on one task are one strand.
//
// What a handler does on its own stack is private to it.
class SignalHandlers {
 public:
  // Numbers a strand; keys of one kind of strand are never those of another.
  using NumberStrand = std::function<StrandId(uint64_t key)>;
  explicit SignalHandlers(NumberStrand number) : number_(std::move(number)) {}

  // The strand of the handler that `task` is in; nothing where it is in none.
  std::optional<StrandId> strand(TaskId task) const;
  bool private_to(TaskId task, uint64_t address) const;
  // The signals of handlers' strands.
  const std::map<StrandId, int32_t>& signals() const { return signals_; }

  // After `parent` made the thread `child`.
  void created(StrandId strand, TaskId parent, TaskId child, RaceDetector& detector);
  // After `event` took effect: a handler was entered. `stack_pointer`: at its first instruction.
  void entered(const Event& event, const event::Signal& signal, StrandId host,
               uint64_t stack_pointer, RaceDetector& detector);
  // A completed call of `strand`, which runs on the event's task. `host`: what it was interrupted
  // in goes on if the call returns from the handler.
  void completed(const Event& event, const event::Syscall& call, StrandId strand,
                 const std::function<StrandId(TaskId)>& strand_of, const GuestMemory& memory,
                 RaceDetector& detector);

 private:
  struct Activation {
    StrandId strand = 0;
    int32_t signal = 0;
    uint64_t low = 0, high = 0;  // its stack
    uint64_t blocked = 0;        // by it, in addition
    bool awaited = false;        // the host goes on after it
  };
  struct Task {
    std::vector<Activation> active;  // innermost last
    uint64_t mask = 0;
    // The last call: when, and whether a handler right after it is one that it brought about.
    Ticks ticks = 0;
    bool waited = false;
    int32_t raised = 0;
  };
  void block(TaskId task, StrandId strand, uint64_t set, RaceDetector& detector);
  void unblock(TaskId task, StrandId strand, uint64_t set, RaceDetector& detector);

  NumberStrand number_;
  std::map<TaskId, Task> tasks_;
  std::map<StrandId, int32_t> signals_;
  std::array<uint64_t, 65> handler_masks_{};
};

}  // namespace heddle
