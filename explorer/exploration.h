// Looks for another schedule of a recorded run under which the program behaves differently.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "explorer/model_run.h"
#include "explorer/race_detector.h"
#include "machine/stacks/symbols.h"
#include "trace_format/reader.h"

namespace heddle {

struct ExploredRace {
  RaceCandidate candidate;
  std::string first_site, second_site;  // "function at file:line"
};

struct ExplorationSummary {
  uint64_t pairs = 0;
  uint64_t schedules = 0;
  std::map<std::string, uint64_t> infeasible;  // by reason
  std::vector<ExploredRace> races;
};

struct Failure {
  RunOutcome outcome;           // of the minimised schedule
  uint64_t found_after = 0;     // schedules, this one included
  uint64_t minimised_from = 0;  // steps of the schedule that was found
  std::string expected_output;
};

class Exploration {
 public:
  // `trace` is the recording's directory.
  explicit Exploration(const std::filesystem::path& trace);

  // Replays the recording with every access logged; finds the pairs that nothing orders.
  void analyse();

  // Tries up to `schedules` of them; stops at the first that fails in a way that it fails in again.
  std::optional<Failure> search(uint64_t seed, uint64_t schedules,
                                const std::function<void(const ExplorationSummary&)>& progress);

  // Runs one schedule.
  RunOutcome run_schedule(const Schedule& schedule);

  // Writes the failing run as a trace of its own, and replays it to be sure.
  void store(const Failure& failure, const std::filesystem::path& directory);

  const ExplorationSummary& summary() const { return summary_; }
  std::string site(uint64_t pc) const;

 private:
  ModelState& start();
  void judge(RunOutcome& outcome) const;
  RunOutcome minimise(RunOutcome failing);

  std::filesystem::path directory_;
  TraceReader reader_;
  std::shared_ptr<const std::vector<Event>> recording_;
  CpuidTable cpuid_;
  std::unique_ptr<Symbols> symbols_;
  std::set<uint64_t> points_;
  std::unique_ptr<ModelState> start_;
  std::string output_, error_;
  int status_ = 0;
  ExplorationSummary summary_;
};

}  // namespace heddle
