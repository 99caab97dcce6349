// One run of a guest under the model kernel and a scheduler.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "explorer/heap_blocks.h"
#include "explorer/kernel_accesses.h"
#include "explorer/model_guest.h"
#include "explorer/model_kernel.h"
#include "machine/scheduler.h"
#include "machine/syscalls/table.h"
#include "trace_format/schedule.h"

namespace heddle {

// How the reason of a failed run begins where a signal was sent to a number that was a child's.
inline constexpr std::string_view kMisdirected = "signal to a process that is gone";

enum class Verdict : uint8_t { same, failed, changed, deadlock, hang, infeasible };
std::string_view name(Verdict verdict);

// An access point that a run passed: kept so that a report can show who touched what, last.
struct PassedPoint {
  Place place;
  uint64_t address = 0;
  uint32_t size = 0;
  bool writes = false;
  bool updates = false;        // reads as well
  uint8_t length = 0;          // of the instruction, in bytes; 0: unknown
  uint16_t by_call = 0;        // Access::by_call; such a point is where the call was over
  size_t performed = 0;        // the how manyeth of all that was performed; 0: never, it was left
  std::vector<TaskId> others;  // that could run there, time passing included
};

// A fault that a run injected.
struct InjectedFault {
  Place place;  // of the call
  Fault fault;
  uint64_t call = 0;   // its number
  int64_t result = 0;  // what it came to; of one that waited first, not known
};

struct RunOutcome {
  Verdict verdict = Verdict::same;
  std::string reason;         // infeasible, deadlock, hang: why
  int status = 0;             // wait(2)'s status word
  std::string output, error;  // what the program wrote to 1 and 2
  Schedule schedule;          // every decision that was not the default one
  std::vector<Event> events;  // from `first_event` on; a trace of the run without its Exec event
  Ticks ticks = 0;            // of all tasks together
  std::vector<InjectedFault> faults;
  std::vector<PassedPoint> points;         // RunLimits::keep_points
  std::vector<size_t> points_before_step;  // follow(): how many at each step of its schedule
};

// Answers that a run gives to cpuid, from the recording.
struct CpuidTable {
  std::vector<event::CpuidEntry> shown;                                  // without an event
  std::map<std::pair<uint32_t, uint32_t>, event::Instruction> recorded;  // by leaf and subleaf
};
CpuidTable cpuid_answers(const std::vector<Event>& recording);

// A guest with its model kernel, at some point of a run.
struct ModelState {
  std::shared_ptr<ModelGuest> guest;
  ModelKernel kernel;
  TaskId current = 1;
  uint64_t random = 0;        // state of the stream that answers rdrand
  std::vector<Event> events;  // so far
  Ticks ticks = 0;
  // Where there are access points. A system call among them is one too. Not owned; null: none.
  const std::set<uint64_t>* points = nullptr;
  // The heap, if it is followed: its functions are among the points then.
  std::optional<HeapBlocks> heap = std::nullopt;
  // Instructions that must not touch a freed block. Not owned; with `heap`.
  const std::set<uint64_t>* block_users = nullptr;

  // For a run from here: see ModelGuest::start_run.
  ModelState fork(bool with_events = true) const;
};

struct RunLimits {
  Ticks ticks = Ticks{2'000'000'000};  // of all tasks together; then the run is a hang
  uint64_t decisions = 200'000;        // likewise
  // Virtual time, in ns; after that nothing more is expected of the outside.
  uint64_t idle_ns = std::numeric_limits<uint64_t>::max();
  bool keep_points = false;
  bool keep_events = true;
  bool faults = false;  // the scheduler is asked in front of each call that can meet one
  // keep_points: called at each, with its index; the guest is stopped there.
  std::function<void(ModelGuest&, TaskId, size_t)> at_point = nullptr;
  // Called for each task that waits when nobody can go on.
  std::function<void(ModelGuest&, TaskId)> at_deadlock = nullptr;
};

// How long a task runs by the default rule while others could; and what a call counts for, since
// one that asks for the time again and again waits for others too.
inline constexpr Ticks kTurn = 10'000'000;
inline constexpr Ticks kCallOfTurn = 5000;
// For how many decisions a schedule's step holds a task back: others may wait for it, and spin.
inline constexpr uint32_t kLongestHold = 1000;

// Runs `state` to the end of the program.
class ModelRun {
 public:
  ModelRun(ModelState& state, const CpuidTable& cpuid, RunLimits limits);

  // Decides by `scheduler`. A point exit is a decision.
  RunOutcome run(Scheduler& scheduler);
  // Follows `schedule` exactly, then the default rule. What the schedule names must be reached:
  // otherwise the outcome is infeasible.
  RunOutcome follow(const Schedule& schedule);
  // To just before a system call of which `is_start` holds, by the default rule. False: the program
  // ended before any, and `state` is of no use.
  using IsStart = std::function<bool(TaskId, const SyscallRequest&)>;
  bool run_to_start(const IsStart& is_start);

 private:
  enum class Step : uint8_t { goes_on, blocked, ended, infeasible, at_start };
  Step syscall(TaskId task);
  Step special(TaskId task, const translator::ExitSite& site);
  Step fault(TaskId task, const siginfo_t& info);
  Step settle_before_running(TaskId task);
  void fork(TaskId parent, const SyscallAnswer& answer, const SyscallRequest& request);
  void end_child(TaskId child, int32_t signal);
  // What a child whose code is not run does next.
  void act(TaskId child);
  void finish_call(TaskId task, const SyscallRequest& request, const SyscallAnswer& answer,
                   bool interrupted);
  void add(EventBody body, TaskId task);
  bool find_runnable();
  // No more than these, so that nobody waits for ever for a task that spins.
  Ticks most_ticks() const;
  void loop(const std::function<TaskId()>& choose, const std::function<Exit(TaskId)>& execute);
  RunOutcome result();
  void note_switch(TaskId next);
  // A signal of the outside comes where the last task is. False: there is none to come.
  bool place_signal(int32_t number);
  void list_runnable();
  // Whose turn it is by the default rule.
  TaskId standard() const;
  // The call that the last task is in front of ends so.
  void inject(const Fault& fault);
  // The fault that the task's call at `place` is to end with; once.
  Fault take_fault(TaskId task, const Place& place);
  // The task goes on over the point that it was left at: what that does to the heap.
  void pass_point(TaskId task);
  void end(Verdict verdict, std::string reason = {}, int status = 0);
  void end_deadlocked();
  void end_endless();
  void deliver(TaskId task, const SignalInfo& info);
  void note_point(TaskId task);
  // The task has run: it may have gone on over the point that it was in front of.
  void note_performed(TaskId task);
  void note_call(TaskId task, const event::Syscall& call);
  std::vector<KernelAccess> signal_accesses_of(TaskId task, uint64_t number,
                                               const SyscallArguments& arguments);
  void note_signal_call(TaskId task, uint64_t number, const SyscallArguments& arguments);
  void note_accesses(TaskId task, uint64_t number, const std::vector<KernelAccess>& accesses);
  // The task is in front of a watched call, for the first time.
  bool stops_before_call(TaskId task, const Place& at);

  ModelState& s_;
  const CpuidTable& cpuid_;
  RunLimits limits_;
  RunOutcome outcome_;
  bool ended_ = false;
  const IsStart* is_start_ = nullptr;         // run_to_start()
  std::map<TaskId, SyscallRequest> waiting_;  // calls of blocked tasks
  std::map<TaskId, Place> acts_;              // children that run: of their last act
  std::map<TaskId, Place> held_;              // tasks that were left at a point's phase 0
  std::map<TaskId, Place> asked_;             // tasks that were left in front of a call
  Situation situation_;
  std::vector<Touch> touches_;
  struct Pending {
    Place place;
    std::vector<Touch> touches;
  };
  std::map<TaskId, Pending> pending_;  // with a heap: points that tasks are in front of
  std::map<TaskId, Place> passed_;     // ... and went on over last
  std::map<TaskId, size_t> in_front_;  // the point, of outcome_.points, that a task is in front of
  size_t performed_ = 0;
  std::vector<TaskId> runnable_;
  std::vector<int32_t> signals_;  // of situation_
  std::vector<TaskId> interrupted_;
  std::vector<Fault> faults_;                        // of situation_
  std::map<TaskId, std::pair<Place, Fault>> armed_;  // faults of calls that are to be made
  std::map<TaskId, uint32_t> held_back_;             // decisions since a step held it back
  Fault injected_;                                   // of the decision that is being taken
  int32_t placed_ = 0;       // the signal of the decision that is being taken
  bool holds_ = false;       // does the decision that is being taken hold somebody back?
  uint32_t keeps_turn_ = 0;  // for so many decisions the current task does not give way
  TaskId standard_ = 0;      // whose turn it is by the default rule
  Ticks turn_ = 0;           // of the current task, so far
  bool turn_over_ = false;   // it was as long as it may be, or the task gave way
};

}  // namespace heddle
