// Runs of a recorded program under other schedules, from one state that they have in common.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "explorer/analysis.h"
#include "explorer/model_run.h"
#include "explorer/output_oracle.h"

namespace heddle {

class Runs {
 public:
  enum class In : uint8_t {
    own_process,   // under ptrace: slow, and nothing that the guest does reaches us
    this_process,  // see ResidentGuest: for processes that are there for nothing else
  };

  // `points`: instructions with scheduling points; `signals`: those that are placed; `expected`: of
  // these, the ones that may come though they did not in the recording; `recorded`: what the
  // recorded run came to; `varying`: see OutputOracle. All outlive this.
  Runs(std::shared_ptr<const std::vector<Event>> recording, PinnedFiles files,
       const std::set<uint64_t>& points, const std::set<int32_t>& signals,
       const std::set<int32_t>& expected, const AnalysedRun& recorded, const VaryingLines& varying,
       OracleCommands oracle, In in);

  // Run `number` of the scheduler, or a schedule, each from a state that all schedules have in
  // common: just before the first task is created or a handler of those signals is installed, or,
  // where faults are injected, before the program's first system call that is not the dynamic
  // linker's. Where this process cannot hold the guest, runs are made in one of its own.
  RunOutcome run(Scheduler& scheduler, uint64_t number, const RunLimits& limits);
  RunOutcome follow(const Schedule& schedule, const RunLimits& limits);
  // As far as it fits (FollowSchedule); the outcome's schedule is what was done.
  RunOutcome follow_loosely(const Schedule& schedule, const RunLimits& limits);

 private:
  enum class From : uint8_t { first_choice, first_call };
  // From there, or from where there is a state already if that is earlier and `or_earlier`.
  ModelState& start(From from, bool or_earlier);
  std::unique_ptr<ModelState> at_beginning();
  RunOutcome make(From from, bool or_earlier, const RunLimits& limits,
                  const std::function<RunOutcome(ModelState&)>& run);
  Place first_call() const;
  // Has it a step in front of the first choice?
  bool begins_early(const Schedule& schedule);
  RunLimits limited(RunLimits limits) const;

  std::shared_ptr<const std::vector<Event>> recording_;
  PinnedFiles files_;
  const std::set<uint64_t>& points_;
  const std::set<int32_t>& signals_;
  const std::set<int32_t>& expected_;
  const AnalysedRun& recorded_;
  OutputOracle oracle_;
  CpuidTable cpuid_;
  uint64_t passed_points_ = 0;  // in the recorded run
  In in_;
  std::unique_ptr<ModelState> start_;
  From from_ = From::first_choice;  // of start_
};

}  // namespace heddle
