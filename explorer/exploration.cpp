#include "explorer/exploration.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

#include "explorer/analysis.h"
#include "explorer/strategies/random_at_accesses.h"
#include "replayer/replayer.h"
#include "trace_format/writer.h"

namespace heddle {
namespace {

constexpr uint64_t kMinimiserTrials = 400;

}  // namespace

Exploration::Exploration(const std::filesystem::path& trace) : directory_(trace), reader_(trace) {
  recording_ = std::make_shared<const std::vector<Event>>(reader_.read_all());
  if (recording_->empty() || !std::holds_alternative<event::Exec>(recording_->front().body))
    throw TraceError(trace.string() + ": the trace does not begin with a program");
  if (!reader_.cut_off().empty()) throw TraceError(reader_.cut_off());
  cpuid_ = cpuid_answers(*recording_);
  std::vector<Module> modules;
  const auto consider = [&](uint64_t start, const std::optional<FileRange>& file) {
    if (file && file->offset == 0) modules.push_back({start, reader_.pinned(file->content)});
  };
  for (const auto& m : std::get<event::Exec>(recording_->front().body).mappings)
    consider(m.start, m.file);
  for (const auto& event : *recording_)
    if (const auto* call = std::get_if<event::Syscall>(&event.body))
      consider(static_cast<uint64_t>(call->result), call->file);
  symbols_ = std::make_unique<Symbols>(modules);
}

void Exploration::analyse() {
  const auto files = [this](const std::string& content) { return reader_.pinned(content); };
  AnalysedRun run = heddle::analyse(*recording_, files, *symbols_);
  output_ = run.output;
  error_ = run.error;
  status_ = run.status;
  for (const auto& race : run.races) {
    points_.insert(race.first.place.pc);
    points_.insert(race.second.place.pc);
    summary_.races.push_back({race, site(race.first.place.pc), site(race.second.place.pc)});
  }
  summary_.pairs = summary_.races.size();
}

ModelState& Exploration::start() {
  if (start_) return *start_;
  translator::Options options;
  options.points = &points_;
  const auto& exec = std::get<event::Exec>(recording_->front().body);
  auto guest = std::make_unique<Guest>(
      exec, [this](const std::string& content) { return reader_.pinned(content); }, options);
  start_.reset(new ModelState{std::move(guest), ModelKernel(recording_), 1, 0, {}, 0});
  ModelRun prefix(*start_, cpuid_, {});
  prefix.run_to_first_clone();
  return *start_;
}

// What a finished run means, next to the recording.
void Exploration::judge(RunOutcome& outcome) const {
  if (outcome.verdict != Verdict::same) return;
  if (outcome.status != status_) {
    outcome.verdict = Verdict::failed;
    outcome.reason = "the program ended otherwise";
  } else if (outcome.output != output_ || outcome.error != error_) {
    outcome.verdict = Verdict::changed;
    outcome.reason = "the output differs";
  }
}

RunOutcome Exploration::run_schedule(const Schedule& schedule) {
  ModelState state = start().fork();
  RunOutcome outcome = ModelRun(state, cpuid_, {}).follow(schedule);
  judge(outcome);
  return outcome;
}

std::optional<Failure> Exploration::search(
    uint64_t seed, uint64_t schedules,
    const std::function<void(const ExplorationSummary&)>& progress) {
  RandomAtAccesses strategy(seed);
  for (uint64_t run = 0; run < schedules; ++run) {
    ModelState state = start().fork();
    strategy.begin(run);
    RunOutcome outcome = ModelRun(state, cpuid_, {}).run(strategy);
    judge(outcome);
    ++summary_.schedules;
    if (outcome.verdict == Verdict::infeasible) ++summary_.infeasible[outcome.reason];
    if (progress) progress(summary_);
    if (outcome.verdict == Verdict::same || outcome.verdict == Verdict::infeasible) continue;
    const RunOutcome again = run_schedule(outcome.schedule);
    if (again.verdict != outcome.verdict || again.output != outcome.output) {
      ++summary_.infeasible["a failing schedule did not fail again"];
      continue;
    }
    const uint64_t steps = outcome.schedule.steps.size();
    return Failure{minimise(std::move(outcome)), summary_.schedules, steps, output_};
  }
  return std::nullopt;
}

// Drops steps, in halves and then ever smaller pieces, as long as the run ends in the same verdict
// (delta debugging: Zeller and Hildebrandt, IEEE TSE 28(2), 2002).
RunOutcome Exploration::minimise(RunOutcome failing) {
  uint64_t trials = 0;
  size_t piece = std::max<size_t>(1, failing.schedule.steps.size() / 2);
  while (trials < kMinimiserTrials) {
    bool smaller = false;
    for (size_t at = 0; at < failing.schedule.steps.size() && trials < kMinimiserTrials;) {
      Schedule fewer = failing.schedule;
      const auto from = fewer.steps.begin() + static_cast<std::ptrdiff_t>(at);
      const auto count = std::min(piece, fewer.steps.size() - at);
      fewer.steps.erase(from, from + static_cast<std::ptrdiff_t>(count));
      ++trials;
      RunOutcome outcome = run_schedule(fewer);
      if (outcome.verdict == failing.verdict) {
        failing = std::move(outcome);
        smaller = true;
      } else {
        at += count;
      }
    }
    if (piece == 1 && !smaller) break;
    piece = std::max<size_t>(1, piece / 2);
  }
  return failing;
}

void Exploration::store(const Failure& failure, const std::filesystem::path& directory) {
  TraceWriter writer(directory);
  const auto pin = [&](const std::optional<FileRange>& file) {
    if (file) writer.pin(reader_.pinned(file->content));
  };
  const Event& exec = recording_->front();
  for (const auto& mapping : std::get<event::Exec>(exec.body).mappings) pin(mapping.file);
  writer.append(exec);
  for (const auto& event : failure.outcome.events) {
    if (const auto* call = std::get_if<event::Syscall>(&event.body)) pin(call->file);
    writer.append(event);
  }
  writer.finish();
  TraceReader trace(directory);
  const auto first = trace.next();
  Replayer replayer(*first, [&](const std::string& content) { return trace.pinned(content); }, {});
  while (const auto event = trace.next()) replayer.advance(*event);
}

std::string Exploration::site(uint64_t pc) const {
  return symbols_->site(pc);
}

}  // namespace heddle
