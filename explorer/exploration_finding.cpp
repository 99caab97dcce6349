// How a failing run becomes a finding: minimised, explained, stored.
#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include <algorithm>

#include "explorer/explanation.h"
#include "explorer/exploration.h"
#include "explorer/minimiser.h"
#include "explorer/strategies/delays.h"
#include "machine/stacks/unwinder.h"
#include "replayer/replayer.h"
#include "trace_format/writer.h"

namespace heddle {
namespace {

constexpr uint64_t kMinimiserTrials = 2000;
constexpr Ticks kMinimiserTicks = 4'000'000'000;  // of all trials
constexpr uint64_t kLeastTrials = 50;
constexpr size_t kMostSimple = 60;
// A schedule of more steps may have them because of how it was found: others are looked for.
constexpr size_t kFewSteps = 4;
constexpr uint64_t kMostDelayed = 2048;  // runs

// Did both fail in the same way?
bool alike(const RunOutcome& a, const RunOutcome& b) {
  const auto of_heap = [](const RunOutcome& run) {
    return run.reason.starts_with("use after free") || run.reason.starts_with("double free");
  };
  return a.verdict == b.verdict && of_heap(a) == of_heap(b) &&
         WIFSIGNALED(a.status) == WIFSIGNALED(b.status);
}

}  // namespace

// All schedules with a single switch, at a racing access of the run that has none. Most failures of
// small depth are among them (M. Musuvathi, S. Qadeer, "Iterative Context Bounding", PLDI 2007).
std::vector<Schedule> Exploration::one_preemption() {
  RunLimits limits;
  limits.keep_points = true;
  const RunOutcome plain = run_limited({}, limits);
  std::vector<Schedule> schedules;
  for (const uint8_t phase : {1, 0})
    for (const auto& point : plain.points) {
      if (point.place.phase != phase) continue;
      for (const TaskId other : point.others) {
        if (schedules.size() == kMostSimple) return schedules;
        schedules.push_back({{{point.place, other, 0}}});
      }
    }
  return schedules;
}

// Where the step's task came by since the step before: at its accesses and calls.
std::vector<Place> Exploration::earlier_places(const Schedule& schedule, size_t step) {
  RunLimits limits;
  limits.keep_points = true;
  const RunOutcome run = run_limited(schedule, limits);
  std::vector<Place> places;
  if (step >= run.points_before_step.size()) return places;
  const Place& at = schedule.steps[step].at;
  for (size_t i = step == 0 ? 0 : run.points_before_step[step - 1];
       i < run.points_before_step[step]; ++i)
    if (run.points[i].length != 0 && run.points[i].place.task == at.task &&
        run.points[i].place != at)
      places.push_back(run.points[i].place);
  return places;
}

std::optional<Schedule> Exploration::few_delays(const RunOutcome& failing,
                                                const Schedule& minimised,
                                                const ExplorationOptions& options,
                                                SearchJobs& jobs) {
  // What the steps stop at is what is to be met again.
  std::vector<Target> met;
  for (const Target& target : targets_)
    if (std::ranges::any_of(minimised.steps, [&](const ScheduleStep& step) {
          return step.at.pc == target.first_pc || step.at.pc == target.second_pc;
        }))
      met.push_back(target);
  Delays delays(options.seed, met.empty() ? targets_ : met, estimate(),
                met.empty() ? Delays::First::anywhere : Delays::First::at_a_side);
  SearchJobs delayed(
      options.jobs,
      [&](Runs::In in) { return make_runs(options.isolate ? Runs::In::own_process : in); }, delays,
      std::min(kMostDelayed, most_trials()));
  while (const auto tried = delayed.next()) {
    const RunOutcome& run = tried->outcome;
    if (on_minimising) on_minimising(tried->number + 1, minimised.steps.size());
    const bool same_output = run.verdict != Verdict::changed || run.output == failing.output;
    if (same_output && alike(run, failing) && alike(jobs.follow(run.schedule), failing))
      return run.schedule;
  }
  return std::nullopt;
}

uint64_t Exploration::most_trials() const {
  return std::clamp(kMinimiserTicks / std::max<Ticks>(recorded_.ticks, 1), kLeastTrials,
                    kMinimiserTrials);
}

// The shortest schedule may fail without a stop at a race; a longer one shows it then.
Failure Exploration::explain(const RunOutcome& failing, const ExplorationOptions& options,
                             const std::string& strategy, SearchJobs& jobs) {
  Failure shortest = explain(failing, options, strategy, jobs, Minimising::freely);
  const std::string& kind = shortest.finding.kind;
  if (recorded_.races.empty() || (kind != "wrong exit status" && kind != "crash")) return shortest;
  Failure longer = explain(failing, options, strategy, jobs, Minimising::by_leaving_out);
  return longer.finding.kind == "data race" ? longer : shortest;
}

Failure Exploration::explain(const RunOutcome& failing, const ExplorationOptions& options,
                             const std::string& strategy, SearchJobs& jobs, Minimising how) {
  MinimiserOptions minimiser;
  minimiser.most_trials = most_trials();
  minimiser.simple = one_preemption();
  minimiser.hold = how == Minimising::freely;
  if (how == Minimising::freely)
    minimiser.earlier_places = [&](const Schedule& schedule, size_t step) {
      return earlier_places(schedule, step);
    };
  uint64_t trials = 0;
  size_t shortest = failing.schedule.steps.size();
  const auto fails_alike = [&](const Schedule& fewer) -> std::optional<Schedule> {
    if (on_minimising) on_minimising(++trials, shortest);
    const RunOutcome exact = jobs.follow(fewer);
    if (alike(exact, failing)) {
      shortest = std::min(shortest, fewer.steps.size());
      return fewer;
    }
    if (exact.verdict != Verdict::infeasible || how == Minimising::by_leaving_out)
      return std::nullopt;
    const RunOutcome loose = jobs.follow_loosely(fewer);
    if (!alike(loose, failing) || !alike(jobs.follow(loose.schedule), failing)) return std::nullopt;
    return loose.schedule;
  };
  Minimised minimised = minimise(failing.schedule, fails_alike, minimiser);
  if (minimised.schedule.steps.size() > kFewSteps) {
    if (const auto fewer = few_delays(failing, minimised.schedule, options, jobs)) {
      const Minimised other = minimise(*fewer, fails_alike, minimiser);
      if (other.schedule.steps.size() < minimised.schedule.steps.size()) minimised = other;
    }
  }
  spdlog::debug("minimised from {} to {} steps by {} runs{}", failing.schedule.steps.size(),
                minimised.schedule.steps.size(), minimised.trials,
                minimised.complete ? "" : ", which are all that are made");
  Failure failure;
  failure.outcome = run_schedule(minimised.schedule);
  Finding& finding = failure.finding;
  finding.verdict = name(failure.outcome.verdict);
  finding.schedule = minimised.schedule;
  finding.strategy = strategy;
  finding.seed = options.seed;
  finding.schedules_tried = summary_.schedules;
  finding.found_steps = failing.schedule.steps.size();
  finding.confirmed = 1;
  finding.origin = std::filesystem::absolute(directory_).lexically_normal();
  const auto stack = [this](ModelGuest& guest, TaskId task) {
    std::vector<StackFrame> frames;
    for (auto& f : Unwinder(*symbols_).stack(guest.memory(), guest.task(task).registers))
      frames.push_back({f.pc, f.function, f.file, f.line, f.module});
    return frames;
  };
  Explanation([this](const Schedule& schedule,
                     const RunLimits& limits) { return run_limited(schedule, limits); },
              stack, *symbols_, recorded_)
      .explain(finding, minimised, failure.outcome, failing.schedule);
  return failure;
}

void Exploration::store(const Failure& failure, const std::filesystem::path& directory) {
  TraceWriter writer(directory);
  const auto pin = [&](const std::optional<FileRange>& file) {
    if (file && !file->content.empty()) writer.pin(reader_.pinned(file->content));
  };
  const Event& exec = recording_->front();
  for (const auto& mapping : std::get<event::Exec>(exec.body).mappings) pin(mapping.file);
  writer.append(exec);
  for (const auto& event : failure.outcome.events) {
    if (const auto* call = std::get_if<event::Syscall>(&event.body)) pin(call->file);
    writer.append(event);
  }
  writer.finish();
  if (writer.failure()) throw std::runtime_error(*writer.failure());
  write_finding(failure.finding, directory);
  TraceReader trace(directory);
  const auto first = trace.next();
  Replayer replayer(*first, [&](const std::string& content) { return trace.pinned(content); }, {});
  while (const auto event = trace.next()) replayer.advance(*event);
}

}  // namespace heddle
