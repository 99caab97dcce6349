// Looks for another schedule of a recorded run under which the program behaves differently.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "explorer/analysis.h"
#include "explorer/jobs/search_jobs.h"
#include "explorer/runs.h"
#include "explorer/strategies/portfolio.h"
#include "explorer/strategies/signal_placement.h"
#include "explorer/suppressions.h"
#include "machine/stacks/symbols.h"
#include "trace_format/finding.h"
#include "trace_format/reader.h"

namespace heddle {

struct ExplorationOptions {
  uint64_t seed = 1;
  uint64_t schedules = 1000;           // at most
  double seconds = 0;                  // likewise, of wall time; 0: no limit
  size_t jobs = 1;                     // processes; what is found does not depend on it
  std::string strategy = "portfolio";  // one of strategy_names()
  bool explain = true;                 // false: a finding has its schedule as found, no more
  bool isolate = false;                // each run in a process of its own: slow, and finds the same
};

struct ExplorationSummary {
  uint64_t pairs = 0;         // with nothing that orders them
  uint64_t lock_ordered = 0;  // ordered only by who came first
  // Of the pairs: both sides were run next to each other, in either order, and the runs came to the
  // same as the recorded one.
  uint64_t without_effect = 0;
  uint64_t schedules = 0;
  std::map<std::string, uint64_t> verdicts;    // schedules by verdict
  std::map<std::string, uint64_t> infeasible;  // schedules by reason
  std::map<std::string, uint64_t> strategies;  // schedules by strategy
  std::string stopped;                         // why the search ended
  uint64_t suppressed = 0;                     // pairs and findings
  double seconds = 0;                          // wall time of the search, without the analysis
};

struct Failure {
  Finding finding;
  RunOutcome outcome;  // of its schedule
};

class Exploration {
 public:
  // `trace` is the recording's directory. Throws TraceError.
  explicit Exploration(const std::filesystem::path& trace);

  // Replays the recording with its accesses logged; finds the pairs that nothing orders. Before
  // everything below.
  const AnalysedRun& analyse(const AnalysisOptions& options = {});
  // Before analyse(): pairs that match are no targets, findings that match are passed over.
  void suppress(Suppressions suppressions) { suppressions_ = std::move(suppressions); }

  // Before analyse(): this signal may come from outside, once in a run, though it did not in the
  // recording. analyse() throws std::runtime_error where the program never handles it.
  void expect_signal(int32_t number) { expected_.insert(number); }

  // Before anything is run.
  void use(OracleCommands oracle) { oracle_ = std::move(oracle); }

  // What a schedule of the search came to: number (from 1), strategy, outcome.
  std::function<void(uint64_t, const std::string&, const RunOutcome&)> on_schedule;

  // Told of each run that looks for a shorter schedule of a failure: how many there were, and how
  // many steps the shortest schedule so far has.
  std::function<void(uint64_t, size_t)> on_minimising;

  // Tries schedules; stops at the first that fails in a way that it fails in again.
  std::optional<Failure> search(const ExplorationOptions& options);

  // Runs one schedule.
  RunOutcome run_schedule(const Schedule& schedule) { return run_limited(schedule, {}); }

  // Writes the failing run as a trace of its own, and replays it to be sure. Throws Divergence.
  void store(const Failure& failure, const std::filesystem::path& directory);

  const ExplorationSummary& summary() const { return summary_; }
  const Symbols& symbols() const { return *symbols_; }

 private:
  // What the signals whose handlers an analysis saw are to meet.
  void aim_signals(const AnalysedRun& run);
  // A run in which that signal comes, as soon as it is handled: its handler is seen there.
  AnalysedRun analyse_with(int32_t signal);
  bool suppressed(const RaceCandidate& pair) const;
  // Is a side of it in a signal's handler?
  static bool handled(const AnalysedRun& run, const RaceCandidate& pair);
  std::unique_ptr<Runs> make_runs(Runs::In in) const;
  Runs& runs();
  RunOutcome run_limited(const Schedule& schedule, const RunLimits& limits) {
    return runs().follow(schedule, limits);
  }
  std::vector<Schedule> one_preemption();
  std::vector<Place> earlier_places(const Schedule& schedule, size_t step);
  Failure explain(const RunOutcome& failing, const ExplorationOptions& options,
                  const std::string& strategy, SearchJobs& jobs);
  enum class Minimising : uint8_t { freely, by_leaving_out };
  Failure explain(const RunOutcome& failing, const ExplorationOptions& options,
                  const std::string& strategy, SearchJobs& jobs, Minimising how);
  // A run that fails as `failing` does, made by a few delays of the default rule.
  std::optional<Schedule> few_delays(const RunOutcome& failing, const Schedule& minimised,
                                     const ExplorationOptions& options, SearchJobs& jobs);
  Ticks ticks_before() const;
  Pct::Options estimate() const;
  std::unique_ptr<Strategy> strategy(const ExplorationOptions& options) const;
  void note_meeting(const TriedRun& tried);
  // What the program prints otherwise each time it is run.
  void learn_varying_lines();
  uint64_t most_trials() const;
  std::optional<Failure> search_from(uint64_t from, const ExplorationOptions& options,
                                     std::chrono::steady_clock::time_point begun);

  std::filesystem::path directory_;
  TraceReader reader_;
  std::shared_ptr<const std::vector<Event>> recording_;
  std::unique_ptr<Symbols> symbols_;
  Suppressions suppressions_;
  AnalysedRun recorded_;
  std::vector<Target> targets_;
  size_t unordered_targets_ = 0;            // the first of them
  std::map<uint64_t, std::set<bool>> met_;  // of targets: the orders that came to the same
  std::vector<SignalTarget> signal_targets_;
  std::set<int32_t> handled_;   // signals of these
  std::set<int32_t> expected_;  // that the recording did not have
  std::set<uint64_t> points_;
  OracleCommands oracle_;
  VaryingLines varying_;
  std::unique_ptr<Runs> runs_;  // in a process apart: what is found is confirmed there
  ExplorationSummary summary_;
};

}  // namespace heddle
