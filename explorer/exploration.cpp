#include "explorer/exploration.h"

#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <stdexcept>

#include "explorer/explanation.h"
#include "explorer/minimiser.h"
#include "explorer/strategies/portfolio.h"
#include "machine/stacks/unwinder.h"
#include "replayer/divergence.h"
#include "replayer/replayer.h"
#include "trace_format/writer.h"

namespace heddle {
namespace {

// So many schedules that the trace cannot answer, and no other, are enough.
constexpr uint64_t kMostInfeasible = 100;
constexpr size_t kMostSuppressed = 8;  // findings of a search
// Pairs that only locks order, as targets of second rank, and accesses to locks, of third: at most
// so many of each.
constexpr size_t kMostOrdered = 32;
constexpr uint64_t kBusySite = 20'000;  // executions; a point there costs more than it finds
constexpr uint64_t kBusyOrderedSite = 2'000;

bool updates(const Access& access) {
  return access.kind == AccessKind::update;
}

// The first event in which two runs differ, for a person.
std::string first_difference(const RunOutcome& a, const RunOutcome& b) {
  const size_t both = std::min(a.events.size(), b.events.size());
  size_t i = 0;
  while (i < both && a.events[i].place == b.events[i].place && a.events[i].body == b.events[i].body)
    ++i;
  if (i == both) return b.reason;
  return "event " + std::to_string(i + 1) + ": " + describe(a.events[i].body) + " (" +
         describe(a.events[i].place) + "), then " + describe(b.events[i].body) + " (" +
         describe(b.events[i].place) + ")";
}

// Lets a signal come at the first decision at which it may, and tasks go on by the default rule.
class PlaceOnce final : public Scheduler {
 public:
  explicit PlaceOnce(int32_t signal) : signal_(signal) {}
  bool placed() const { return placed_; }

  void begin(uint64_t) override { placed_ = false; }
  Decision decide(const Situation& situation) override {
    const bool goes_on = situation.current_runnable && situation.why != DecisionPoint::budget;
    Decision decision{goes_on ? situation.at.task : situation.runnable.front()};
    const bool comes = std::ranges::find(situation.signals, signal_) != situation.signals.end();
    if (comes && !placed_ && situation.current_runnable) {
      decision.signal = signal_;
      placed_ = true;
    }
    return decision;
  }

 private:
  int32_t signal_;
  bool placed_ = false;
};

}  // namespace

Exploration::Exploration(const std::filesystem::path& trace) : directory_(trace), reader_(trace) {
  recording_ = std::make_shared<const std::vector<Event>>(reader_.read_all());
  if (recording_->empty() || !std::holds_alternative<event::Exec>(recording_->front().body))
    throw TraceError(trace.string() + ": the trace does not begin with a program");
  if (!reader_.cut_off().empty()) throw TraceError(reader_.cut_off());
  std::vector<Module> modules;
  const auto consider = [&](uint64_t start, const std::optional<FileRange>& file) {
    if (file && file->offset == 0 && !file->content.empty())
      modules.push_back({start, reader_.pinned(file->content)});
  };
  for (const auto& m : std::get<event::Exec>(recording_->front().body).mappings)
    consider(m.start, m.file);
  for (const auto& event : *recording_)
    if (const auto* call = std::get_if<event::Syscall>(&event.body))
      consider(static_cast<uint64_t>(call->result), call->file);
  symbols_ = std::make_unique<Symbols>(modules);
}

const AnalysedRun& Exploration::analyse(const AnalysisOptions& options) {
  const auto files = [this](const std::string& content) { return reader_.pinned(content); };
  recorded_ = heddle::analyse(*recording_, files, *symbols_, options);
  if (!suppressions_.empty())
    for (auto* pairs : {&recorded_.races, &recorded_.interruptions, &recorded_.lock_ordered})
      summary_.suppressed +=
          std::erase_if(*pairs, [this](const RaceCandidate& pair) { return suppressed(pair); });
  const auto aim_at = [&](const RaceCandidate& pair) {
    Target target;
    target.first_pc = pair.first.place.pc;
    target.second_pc = pair.second.place.pc;
    target.address = pair.first.address;
    target.size = pair.first.size;
    target.first_count = static_cast<uint32_t>(recorded_.executions[target.first_pc]);
    target.second_count = static_cast<uint32_t>(recorded_.executions[target.second_pc]);
    target.first_updates = updates(pair.first);
    target.second_updates = updates(pair.second);
    targets_.push_back(target);
    points_.insert(target.first_pc);
    points_.insert(target.second_pc);
  };
  for (const auto& race : recorded_.races)
    if (race.first.place.task != race.second.place.task || !handled(recorded_, race)) aim_at(race);
  unordered_targets_ = targets_.size();
  aim_signals(recorded_);
  for (const int32_t signal : expected_) aim_signals(analyse_with(signal));
  for (const auto* pairs : {&recorded_.lock_ordered, &recorded_.contended}) {
    size_t taken = 0;
    for (const auto& pair : *pairs) {
      if (taken == kMostOrdered) break;
      if (recorded_.executions[pair.first.place.pc] > kBusyOrderedSite ||
          recorded_.executions[pair.second.place.pc] > kBusyOrderedSite)
        continue;
      aim_at(pair);
      ++taken;
    }
  }
  if (recorded_.heap)
    for (const uint64_t pc : recorded_.heap->places()) points_.insert(pc);
  summary_.pairs = recorded_.races.size();
  summary_.lock_ordered = recorded_.lock_ordered.size();
  return recorded_;
}

bool Exploration::suppressed(const RaceCandidate& pair) const {
  std::vector<std::vector<StackFrame>> stacks;
  for (const Access* side : {&pair.first, &pair.second}) {
    std::vector<StackFrame>& stack = stacks.emplace_back();
    for (const Site& site : symbols_->sites(side->place.pc))
      stack.push_back({side->place.pc, site.function, site.file, site.line, site.module});
  }
  return suppressions_.match(
      handled(recorded_, pair) ? Suppressions::Of::signal : Suppressions::Of::race, stacks);
}

bool Exploration::handled(const AnalysedRun& run, const RaceCandidate& pair) {
  return run.handlers.contains(pair.first.strand) || run.handlers.contains(pair.second.strand);
}

AnalysedRun Exploration::analyse_with(int32_t signal) {
  handled_.insert(signal);
  PlaceOnce placing(signal);
  RunOutcome run = make_runs(Runs::In::own_process)->run(placing, 0, {});
  if (!placing.placed())
    throw std::runtime_error("the program installs no handler for signal " +
                             std::to_string(signal) + ": there is nothing to place it at");
  std::vector<Event> events{recording_->front()};
  std::ranges::move(run.events, std::back_inserter(events));
  return heddle::analyse(
      events, [this](const std::string& content) { return reader_.pinned(content); }, *symbols_);
}

void Exploration::aim_signals(const AnalysedRun& run) {
  const auto aim_at = [&](const SignalTarget& target) {
    if (target.count > kBusySite || std::ranges::count(signal_targets_, target) > 0) return;
    signal_targets_.push_back(target);
    points_.insert(target.pc);
    if (target.handler_pc != 0) points_.insert(target.handler_pc);
    handled_.insert(target.signal);
  };
  const auto executions = [&](uint64_t pc) {
    const auto found = run.executions.find(pc);
    return static_cast<uint32_t>(found == run.executions.end() ? 0 : found->second);
  };
  for (const auto* pairs : {&run.races, &run.interruptions})
    for (const auto& pair : *pairs) {
      if (!handled(run, pair)) continue;
      for (const auto& [handler, other] :
           {std::pair(&pair.first, &pair.second), std::pair(&pair.second, &pair.first)}) {
        const auto signal = run.handlers.find(handler->strand);
        if (signal == run.handlers.end()) continue;
        const uint64_t pc = other->place.pc;
        aim_at({pc, signal->second, handler->place.pc, handler->place.task == other->place.task,
                executions(pc)});
      }
    }
  for (const auto& [pc, signals] : run.interrupted_calls)
    for (const int32_t signal : signals) aim_at({pc, signal, 0, true, executions(pc)});
}

std::unique_ptr<Runs> Exploration::make_runs(Runs::In in) const {
  return std::make_unique<Runs>(
      recording_, [this](const std::string& content) { return reader_.pinned(content); }, points_,
      handled_, expected_, recorded_, varying_, oracle_, in);
}

Runs& Exploration::runs() {
  if (!runs_) runs_ = make_runs(Runs::In::own_process);
  return *runs_;
}

// Where runs start (Runs::run): what the recorded run had done by then.
Ticks Exploration::ticks_before() const {
  for (const Event& event : *recording_) {
    const auto* call = std::get_if<event::Syscall>(&event.body);
    if (!call) continue;
    const bool installs = call->number == SYS_rt_sigaction && call->arguments[1] != 0 &&
                          handled_.contains(static_cast<int32_t>(call->arguments[0]));
    if (call->child != 0 || installs) return event.place.ticks;
  }
  return recorded_.ticks;
}

Pct::Options Exploration::estimate() const {
  Pct::Options estimate;
  estimate.ticks = recorded_.ticks - std::min(recorded_.ticks, ticks_before());
  std::set<uint64_t> updating;
  for (const Target& target : targets_) {
    if (target.first_updates) updating.insert(target.first_pc);
    if (target.second_updates) updating.insert(target.second_pc);
  }
  for (const uint64_t pc : points_)
    if (const auto times = recorded_.executions.find(pc); times != recorded_.executions.end())
      estimate.accesses += times->second * (updating.contains(pc) ? 2 : 1);
  return estimate;
}

std::unique_ptr<Strategy> Exploration::strategy(const ExplorationOptions& options) const {
  return make_strategy(options.strategy, options.seed, targets_, estimate(), signal_targets_);
}

std::optional<Failure> Exploration::search(const ExplorationOptions& options) {
  const auto begun = std::chrono::steady_clock::now();
  learn_varying_lines();
  for (size_t times = 0; times < kMostSuppressed; ++times) {
    auto failure = search_from(summary_.schedules, options, begun);
    if (!failure || !suppressions_.match(failure->finding)) return failure;
    ++summary_.suppressed;
  }
  summary_.stopped = "findings that are suppressed, one after another";
  return std::nullopt;
}

void Exploration::learn_varying_lines() {
  if (!shows_time(recorded_.output) && !shows_time(recorded_.error)) return;
  const RunOutcome plain = run_schedule({});
  if (plain.verdict != Verdict::changed) return;
  varying_ = varying_lines(recorded_.output, plain.output);
  varying_.merge(varying_lines(recorded_.error, plain.error));
}

// The search without its first `from` schedules.
std::optional<Failure> Exploration::search_from(uint64_t from, const ExplorationOptions& options,
                                                std::chrono::steady_clock::time_point begun) {
  const auto searching = strategy(options);
  SearchJobs jobs(
      options.jobs,
      [&](Runs::In in) { return make_runs(options.isolate ? Runs::In::own_process : in); },
      *searching, options.schedules);
  while (auto tried = jobs.next()) {
    if (tried->number < from) continue;
    RunOutcome& outcome = tried->outcome;
    const bool bad = outcome.verdict != Verdict::same && outcome.verdict != Verdict::infeasible;
    if (bad) {
      const RunOutcome again = run_schedule(outcome.schedule);
      if (again.verdict != outcome.verdict || again.output != outcome.output) {
        RunLimits limits;
        limits.faults = searching->injects_faults();
        const RunOutcome first = runs().run(*searching, tried->number, limits);
        outcome.reason = "a failing schedule did not fail again; " + first_difference(first, again);
        outcome.verdict = Verdict::infeasible;
      }
    }
    spdlog::debug("schedule {}, {}: {}{}{}", tried->number + 1, tried->description,
                  name(outcome.verdict), outcome.reason.empty() ? "" : ", ", outcome.reason);
    ++summary_.schedules;
    summary_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    ++summary_.verdicts[std::string(name(outcome.verdict))];
    ++summary_.strategies[tried->strategy];
    if (outcome.verdict == Verdict::infeasible) ++summary_.infeasible[outcome.reason];
    note_meeting(*tried);
    if (on_schedule) on_schedule(tried->number + 1, tried->strategy, outcome);
    if (outcome.verdict != Verdict::same && outcome.verdict != Verdict::infeasible) {
      summary_.stopped = "a finding";
      if (options.explain) return explain(outcome, options, tried->description, jobs);
      Failure failure;
      failure.finding.schedule = outcome.schedule;
      failure.outcome = std::move(outcome);
      return failure;
    }
    if (summary_.schedules == kMostInfeasible &&
        summary_.verdicts["infeasible"] == kMostInfeasible) {
      summary_.stopped = "none of so many schedules stayed within what the trace can answer";
      return std::nullopt;
    }
    if (options.seconds > 0 && summary_.seconds >= options.seconds) {
      summary_.stopped = "the time is over";
      return std::nullopt;
    }
  }
  summary_.stopped = searching->finished();
  if (summary_.stopped.empty()) summary_.stopped = "all schedules are tried";
  return std::nullopt;
}

// The pairs that nothing orders are the first targets.
void Exploration::note_meeting(const TriedRun& tried) {
  if (!tried.met || tried.outcome.verdict != Verdict::same) return;
  if (tried.met->target >= unordered_targets_) return;
  auto& orders = met_[tried.met->target];
  if (orders.insert(tried.met->second_first).second && orders.size() == 2)
    ++summary_.without_effect;
}

}  // namespace heddle
