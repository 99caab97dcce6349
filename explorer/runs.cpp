#include "explorer/runs.h"

#include <spdlog/spdlog.h>
#include <sys/syscall.h>

#include <algorithm>

#include "explorer/resident_guest.h"
#include "explorer/strategies/follow_schedule.h"
#include "explorer/traced_guest.h"

namespace heddle {
namespace {

constexpr uint64_t kLongestIdle = 60'000'000'000;  // ns
constexpr uint64_t kLeastDecisions = 20'000;

}  // namespace

Runs::Runs(std::shared_ptr<const std::vector<Event>> recording, PinnedFiles files,
           const std::set<uint64_t>& points, const std::set<int32_t>& signals,
           const std::set<int32_t>& expected, const AnalysedRun& recorded,
           const VaryingLines& varying, OracleCommands oracle, In in)
    : recording_(std::move(recording)),
      files_(std::move(files)),
      points_(points),
      signals_(signals),
      expected_(expected),
      recorded_(recorded),
      oracle_(recorded.status, recorded.output, recorded.error, varying, std::move(oracle)),
      cpuid_(cpuid_answers(*recording_)),
      in_(in) {
  for (const uint64_t pc : points)
    if (const auto times = recorded.executions.find(pc); times != recorded.executions.end())
      passed_points_ += times->second;
}

std::unique_ptr<ModelState> Runs::at_beginning() {
  translator::Options options;
  options.points = &points_;
  const auto& exec = std::get<event::Exec>(recording_->front().body);
  std::shared_ptr<ModelGuest> guest;
  if (in_ == In::this_process) {
    try {
      guest = std::make_shared<ResidentGuest>(exec, files_, options);
    } catch (const ResidentUnavailable& why) {
      spdlog::info("runs are made in processes of their own: {}", why.what());
      in_ = In::own_process;
    }
  }
  if (!guest) guest = std::make_shared<TracedGuest>(std::make_unique<Guest>(exec, files_, options));
  std::unique_ptr<ModelState> state(new ModelState{std::move(guest),
                                                   ModelKernel(recording_),
                                                   1,
                                                   0,
                                                   {},
                                                   0,
                                                   &points_,
                                                   {},
                                                   &recorded_.block_users});
  for (const int32_t signal : expected_) state->kernel.expect_signal(signal);
  return state;
}

// What a statically linked program calls first is its own.
Place Runs::first_call() const {
  const auto& exec = std::get<event::Exec>(recording_->front().body);
  const uint64_t entry = exec.registers[Register::rip];
  const auto of_entry = std::ranges::find_if(exec.mappings, [&](const Mapping& mapping) {
    return entry >= mapping.start && entry < mapping.start + mapping.size;
  });
  std::optional<Place> first;
  for (const Event& event : *recording_) {
    if (!std::holds_alternative<event::Syscall>(event.body)) continue;
    if (!first) first = event.place;
    if (of_entry == exec.mappings.end() || event.place.pc < of_entry->start ||
        event.place.pc >= of_entry->start + of_entry->size)
      return event.place;
  }
  return first.value_or(recording_->front().place);
}

ModelState& Runs::start(From from, bool or_earlier) {
  if (start_ && (from_ == from || (or_earlier && from_ == From::first_call))) return *start_;
  const auto chooses = [this](TaskId task, const SyscallRequest& request) {
    const bool installs = request.number == SYS_rt_sigaction && request.arguments[1] != 0 &&
                          signals_.contains(static_cast<int32_t>(request.arguments[0]));
    return installs ||
           clone_arguments(request.number, request.arguments, start_->guest->memory(task));
  };
  const auto calls = [place = first_call()](TaskId, const SyscallRequest& request) {
    return request.place == place;
  };
  from_ = from;
  start_.reset();  // at most one is in this process
  try {
    start_ = at_beginning();
    const bool there = from == From::first_call
                           ? ModelRun(*start_, cpuid_, {}).run_to_start(calls)
                           : ModelRun(*start_, cpuid_, {}).run_to_start(chooses);
    if (!there) {
      start_.reset();
      start_ = at_beginning();
    }
    if (recorded_.heap)
      start_->heap =
          there && from == From::first_choice ? *recorded_.heap : recorded_.heap->without_blocks();
  } catch (const ResidentUnavailable& why) {
    spdlog::info("runs are made in processes of their own: {}", why.what());
    start_.reset();
    in_ = In::own_process;
    return start(from, or_earlier);
  }
  return *start_;
}

RunOutcome Runs::make(From from, bool or_earlier, const RunLimits& limits,
                      const std::function<RunOutcome(ModelState&)>& run) {
  while (true) {
    try {
      ModelState state = start(from, or_earlier).fork(limits.keep_events);
      RunOutcome outcome = run(state);
      oracle_.judge(outcome);
      return outcome;
    } catch (const ResidentUnavailable& why) {
      spdlog::info("runs are made in processes of their own: {}", why.what());
      start_.reset();
      in_ = In::own_process;
    }
  }
}

RunOutcome Runs::run(Scheduler& scheduler, uint64_t number, const RunLimits& limits) {
  const From from = limits.faults ? From::first_call : From::first_choice;
  return make(from, false, limits, [&](ModelState& state) {
    scheduler.begin(number);
    return ModelRun(state, cpuid_, limited(limits)).run(scheduler);
  });
}

bool Runs::begins_early(const Schedule& schedule) {
  if (schedule.steps.empty()) return false;
  const Place& first = schedule.steps.front().at;
  return first.task == 1 &&
         first.ticks < start(From::first_choice, true).guest->task(1).place().ticks;
}

RunOutcome Runs::follow(const Schedule& schedule, const RunLimits& limits) {
  const From from = limits.faults || begins_early(schedule) ? From::first_call : From::first_choice;
  RunOutcome outcome = make(from, true, limits, [&](ModelState& state) {
    return ModelRun(state, cpuid_, limited(limits)).follow(schedule);
  });
  outcome.schedule = schedule;
  return outcome;
}

RunOutcome Runs::follow_loosely(const Schedule& schedule, const RunLimits& limits) {
  FollowSchedule following(schedule);
  return run(following, 0, limits);
}

// A program that runs many times as long as it did, and that for a while, hangs.
RunLimits Runs::limited(RunLimits limits) const {
  constexpr Ticks kTimes = 10, kLeast = 50'000'000, kEnough = 300'000'000;
  const Ticks ticks = recorded_.ticks;
  limits.ticks =
      std::min(limits.ticks, std::max({kTimes * ticks, std::min(100 * ticks, kEnough), kLeast}));
  // A strategy may stop tasks more often than each of their points and calls does.
  limits.decisions =
      kLeastDecisions + 2 * kTimes * (passed_points_ + recording_->size()) + ticks / 8;
  limits.idle_ns = 2 * recording_->back().time_ns + kLongestIdle;
  return limits;
}

}  // namespace heddle
