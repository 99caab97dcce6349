// Runs a recording again from its trace alone, checking it at every event.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string_view>

#include "replayer/divergence.h"
#include "replayer/guest.h"
#include "replayer/held_calls.h"
#include "replayer/output_descriptors.h"
#include "trace_format/logged_calls.h"

namespace heddle {

// What to do with bytes that the program wrote to descriptor 1 or 2.
using OutputSink = std::function<void(int stream, std::span<const uint8_t> bytes)>;

struct ReplayEnd {
  uint64_t events = 0;
  bool complete = false;  // the recording's end was reached, not the end of a cut-off trace
  int status = 0;         // complete: wait(2)'s status word of the program
};

// The trace kernel and its run: feed it the events in order.
class Replayer {
 public:
  // `exec` is the body of the trace's first event.
  Replayer(const Event& exec, PinnedFiles files, OutputSink output,
           const translator::Options& options = {},
           const std::filesystem::path& translations = {});  // directory of saved translations

  // Runs the program up to and over this event. Throws Divergence. With Options::runtime_syscalls
  // the calls that the runtime can answer are held until the next event of another kind.
  void advance(const Event& event);
  // The same for many, in their order.
  void advance(const LoggedCalls& calls);
  // Runs it over the events that are held.
  void catch_up();

  // From the next event on the program is translated with these options.
  void translate_with(const translator::Options& options);

  // Before the program does what `event` says: brings its task there and checks it. Called by
  // advance(); by itself for tools that look at the state just before an event.
  void reach(const Event& event);

  // Brings place.task to a place before its next event. False where there is no such task, or it
  // does not come by there; then it may be anywhere before its next event.
  bool reach(const Place& place);

  // Every task there is, in the order of their numbers.
  std::vector<TaskId> tasks() const;
  // The guest of the process that the last event was of; at first the program's own.
  Guest& guest() { return *current_->guest; }
  // That of the process which `task` belongs to; null if there is no such task.
  Guest* guest_of(TaskId task);
  // wait(2)'s status word of the first process, once it has ended.
  std::optional<int> exit_status() const { return status_; }
  // Why the first process went on outside of the recording, if it did.
  const std::optional<std::string>& released() const { return released_; }

  // Called for exits that are not events (point, hook, log_full) when the guest runs with such a
  // translation; the guest is resumed by the callee. Unset: such an exit is an internal error.
  std::function<void(const Exit&)> on_instrumentation;

 private:
  // Processes that vfork made share their guest until they call execve.
  struct Process {
    std::shared_ptr<Guest> guest;
    SignalState signals;
    OutputDescriptors outputs;
    bool first = false;
  };
  void perform(const Event& event);
  bool hold(const Event& event);
  bool hold(const heddle_log_entry& call, std::span<const uint8_t> entry, uint64_t number);
  bool is_behind_held(const Place& place) const;
  bool stops_before_call(const Event& event);
  void check_held(TaskId task, const Exit* exit);
  void apply(const Event& event, const event::Syscall& call);
  void apply(const Event& event, const event::Signal& signal);
  void compare(const Event& event, const event::StateHash& hash);
  void virtualised(const Event& event, const event::Syscall& call);
  void show_output(const event::Syscall& call);
  std::optional<Exit> run_to(const Place& place);
  Exit run_over_instrumentation(TaskId task, Exit exit);

  void add_child(const Event& event, const event::Syscall& call, const SyscallRequest& request);
  void exec(const Event& event, const event::Exec& image);
  void keep_translations(const event::Exec& image);
  void process_exit(const event::ProcessExit& end);
  void remove_tasks(const Process& process, TaskId but);

  PinnedFiles files_;
  translator::Options options_;
  std::filesystem::path translations_;
  std::map<TaskId, std::shared_ptr<Process>> tasks_;
  std::shared_ptr<Process> current_;
  OutputSink output_;
  HeldCalls held_;
  std::set<TaskId> before_call_;            // tasks that a Switch left at a call
  std::map<TaskId, uint64_t> saved_masks_;  // of tasks that rt_sigsuspend let signals into
  std::optional<int> status_;
  std::optional<std::string> released_;
};

}  // namespace heddle
