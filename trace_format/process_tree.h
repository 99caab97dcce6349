// The processes of a trace: who made whom, what each executed, how it ended.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trace_format/event.h"

namespace heddle {

struct RecordedProgram {
  uint64_t event = 0;    // of its Exec
  uint64_t time_ns = 0;  // likewise
  std::string path;
  std::vector<std::string> arguments;
};

// A process, from its making to its end or the trace's.
struct TracedProcess {
  int32_t pid = 0;                        // as the program knew it; 0 where the trace does not say
  std::optional<size_t> parent;           // index in ProcessTree::processes()
  std::vector<RecordedProgram> programs;  // that it executed, in order; none: its parent's
  std::vector<TaskId> tasks;              // its threads, the first one first
  uint64_t events = 0;                    // of its tasks
  uint64_t began_ns = 0, ended_ns = 0;    // since the recording began; of its first and last event
  Ticks ticks = 0;                        // of all of its tasks, as far as events tell
  std::optional<int> status;              // wait(2)'s status word
  std::optional<std::string> released;    // why it goes on outside of the recording
};

// Built from the events of a trace, in their order.
class ProcessTree {
 public:
  void add(const Event& event);

  // In the order of their making: a parent comes before its children.
  const std::vector<TracedProcess>& processes() const { return processes_; }
  // What the process runs: its own program, or that of the nearest ancestor which executed one
  // before it was made.
  const RecordedProgram* program(size_t process) const;
  // The process of a task; nothing where there never was one.
  std::optional<size_t> process_of(TaskId task) const;

 private:
  void make(const Event& event, const event::Syscall& call);

  std::vector<TracedProcess> processes_;
  std::map<TaskId, size_t> by_task_;
  std::map<TaskId, Ticks> ticks_;
  // The program that a process had when it was made: (process, index of its program).
  std::vector<std::optional<std::pair<size_t, size_t>>> inherited_;
};

}  // namespace heddle
