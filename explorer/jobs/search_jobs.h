// The runs of a search, made by several processes and taken in their order.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "explorer/jobs/message.h"
#include "explorer/jobs/workers.h"
#include "explorer/runs.h"
#include "explorer/strategies/strategy.h"

namespace heddle {

// What a run of the search came to. Its outcome has neither events nor points.
struct TriedRun {
  uint64_t number = 0;  // counted from 0
  std::string strategy, description;
  std::optional<Meeting> met;
  RunOutcome outcome;
};

// Runs of a strategy, numbered from 0; the results are the same whatever the number of processes.
// A run that kills its process is made again in a process apart (Runs::In::own_process).
class SearchJobs {
 public:
  // `runs` makes a Runs in the process that calls it; `strategy` is this object's to use.
  using MakeRuns = std::function<std::unique_ptr<Runs>(Runs::In)>;
  SearchJobs(size_t jobs, MakeRuns runs, Strategy& strategy, uint64_t most);

  // The next run's; nothing after `most`, or where the strategy has finished.
  std::optional<TriedRun> next();
  // Follows a schedule, fast; the outcome has neither events nor points. Abandons the runs that
  // are under way: next() is over.
  RunOutcome follow(const Schedule& schedule);
  // Likewise, as far as it fits: see Runs.
  RunOutcome follow_loosely(const Schedule& schedule);

 private:
  // False: the strategy has finished.
  bool ask_round();
  void ask(size_t worker, uint64_t from, uint64_t to, const std::vector<std::string>& lessons);
  void serve(const std::string& request, const Workers::Reply& reply);
  Runs& runs_here();
  // Which worker makes run k.
  size_t worker_of(uint64_t number) const { return number / kBatch % workers_.count(); }
  TriedRun run_apart(uint64_t number);
  RunOutcome follow(const Schedule& schedule, bool loosely);
  RunOutcome follow_in(Runs& runs, const Schedule& schedule, bool loosely) const;
  Message* reply_with(uint64_t number);

  static constexpr uint64_t kBatch = 16;  // consecutive runs of one worker

  MakeRuns make_runs_;
  Strategy& strategy_;
  uint64_t most_;
  uint64_t next_ = 0, round_end_ = 0;
  std::vector<std::string> lessons_;  // of this round
  Workers workers_;
  std::vector<std::unique_ptr<Message>> replies_;  // by worker: not used up yet
  std::unique_ptr<Runs> here_;                     // of a worker
  std::unique_ptr<Runs> apart_;                    // of this process
  bool searching_ = true;
};

}  // namespace heddle
