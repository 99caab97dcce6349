#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/catalogued_exploration.h"
#include "cli/duration.h"
#include "cli/room_for_guest.h"
#include "cli/signal_number.h"
#include "cli/verbs.h"
#include "explorer/exploration.h"
#include "explorer/report/exploration_text.h"
#include "explorer/report/finding_text.h"

namespace heddle::cli {
namespace {

struct Options {
  std::string trace = "latest";
  ExplorationOptions search;
  std::string time;
  std::string schedule;
  OracleCommands oracle;
  std::string suppressions;
  std::vector<std::string> signals;
  bool json = false;
  bool quiet = false;
};

constexpr int kFound = 66;

// One line on a terminal, rewritten in place a few times a second.
class ProgressLine {
 public:
  explicit ProgressLine(bool wanted) : shown_(wanted && isatty(2)) {}
  ~ProgressLine() { clear(); }

  void show(const std::string& line) {
    const auto now = Clock::now();
    if (!shown_ || now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
    dirty_ = true;
  }
  void clear() {
    if (dirty_) std::fprintf(stderr, "\r\x1b[K");
    dirty_ = false;
  }
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  bool shown_;
  bool dirty_ = false;
  Clock::time_point begun_ = Clock::now(), last_;
};

int run_one(Exploration& exploration, const Options& options, CataloguedExploration& entry) {
  const RunOutcome outcome = exploration.run_schedule(Schedule::parse(options.schedule));
  const std::string verdict(name(outcome.verdict));
  entry.tried(1, outcome);
  entry.ended(verdict);
  if (options.json) {
    const nlohmann::json j = {{"verdict", verdict},
                              {"reason", outcome.reason},
                              {"output", outcome.output},
                              {"error", outcome.error},
                              {"status", outcome.status}};
    std::printf("%s\n", j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    std::fwrite(outcome.output.data(), 1, outcome.output.size(), stdout);
    std::fflush(stdout);
    std::fwrite(outcome.error.data(), 1, outcome.error.size(), stderr);
    std::fprintf(stderr, "heddle: verdict: %s%s%s\n", verdict.c_str(),
                 outcome.reason.empty() ? "" : ", ", outcome.reason.c_str());
  }
  if (outcome.verdict == Verdict::infeasible) return 2;
  return outcome.verdict == Verdict::same ? 0 : kFound;
}

void print_json(const ExplorationSummary& summary, const Failure* failure, const std::string& id,
                double seconds) {
  nlohmann::json j = {{"pairs", summary.pairs},
                      {"lock_ordered_pairs", summary.lock_ordered},
                      {"pairs_without_effect", summary.without_effect},
                      {"schedules", summary.schedules},
                      {"verdicts", summary.verdicts},
                      {"infeasible", summary.infeasible},
                      {"strategies", summary.strategies},
                      {"stopped", summary.stopped},
                      {"seconds", seconds},
                      {"suppressed", summary.suppressed},
                      {"search_seconds", summary.seconds},
                      {"findings", nlohmann::json::array()}};
  if (failure) {
    auto finding = nlohmann::json::parse(failure->finding.json());
    finding["id"] = id;
    j["findings"].push_back(std::move(finding));
  }
  std::printf("%s\n", j.dump(2).c_str());
}

int explore(const Options& options) {
  ProgressLine progress(!options.quiet && !options.json);
  const auto location = locate_trace(options.trace);
  Exploration exploration(location.path);
  exploration.use(options.oracle);
  if (!options.suppressions.empty()) exploration.suppress(Suppressions::read(options.suppressions));
  for (const std::string& signal : options.signals)
    exploration.expect_signal(signal_number(signal));
  CataloguedExploration entry("explore", location, options.search.seed);
  progress.show("analysing the recorded run");
  entry.analysed(exploration.analyse(), exploration.symbols());
  if (!options.schedule.empty()) {
    progress.clear();
    return run_one(exploration, options, entry);
  }
  const auto& summary = exploration.summary();
  exploration.on_schedule = [&](uint64_t number, const std::string&, const RunOutcome& outcome) {
    entry.tried(number, outcome);
    const bool bad = outcome.verdict != Verdict::same && outcome.verdict != Verdict::infeasible;
    progress.show(report::progress_line(number, progress.seconds(), bad ? 1 : 0));
  };
  exploration.on_minimising = [&](uint64_t runs, size_t steps) {
    progress.show(report::minimising_line(runs, steps));
  };
  const auto failure = exploration.search(options.search);
  std::string id;
  if (failure) {
    progress.show("storing the finding");
    id = entry.found(failure->finding,
                     [&](const auto& directory) { exploration.store(*failure, directory); });
  }
  entry.ended(failure ? "found " + id : "nothing found, " + summary.stopped);
  progress.clear();
  if (options.json) {
    print_json(summary, failure ? &*failure : nullptr, id, progress.seconds());
  } else {
    const bool colour = isatty(1);
    report::ExplorationText text;
    text.race_pairs = summary.pairs;
    text.lock_ordered_pairs = summary.lock_ordered;
    text.without_effect = summary.without_effect;
    text.schedules = summary.schedules;
    text.verdicts = summary.verdicts;
    text.infeasible = summary.infeasible;
    text.strategies = summary.strategies;
    text.seconds = progress.seconds();
    text.stopped = summary.stopped;
    if (failure) {
      std::printf("%s\n",
                  report::finding_text(failure->finding, "heddle replay " + id, colour).c_str());
      text.findings.push_back(id + ": " + report::finding_line(failure->finding));
    }
    std::fputs(report::exploration_text(text, colour).c_str(), stdout);
  }
  if (failure) return kFound;
  const auto infeasible = summary.verdicts.find("infeasible");
  const bool nothing_ran = summary.schedules > 0 && infeasible != summary.verdicts.end() &&
                           infeasible->second == summary.schedules;
  return nothing_ran ? 2 : 0;
}

}  // namespace

void add_explore(CLI::App& app, int& status) {
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("explore", "Run a recording under other schedules");
  verb->add_option("trace", options->trace, "A path, an id (t1, t2, ...) or latest");
  verb->add_option("--seed", options->search.seed, "Of all random choices (default 1)");
  verb->add_option("--schedules", options->search.schedules,
                   "How many to try at most (default 1000)");
  verb->add_option("-j,--jobs", options->search.jobs,
                   "Processes that try schedules (default 1); what is found does not depend on it")
      ->check(CLI::Range(1, 1024));
  verb->add_option("--strategy", options->search.strategy, "How schedules are chosen")
      ->check(CLI::IsMember(strategy_names()));
  verb->add_option("--filter", options->oracle.filter,
                   "A shell command that takes out of the output what may differ");
  verb->add_option("--oracle", options->oracle.command,
                   "A shell command that fails where the output on its standard input, or "
                   "HEDDLE_STATUS, means that something went wrong");
  verb->add_flag("--isolate", options->search.isolate,
                 "Make each run in a process of its own: slow, and finds the same");
  verb->add_option("--time", options->time, "How long to try at most: 90s, 10m, 2h");
  verb->add_option("--schedule", options->schedule, "Run just this one, as a finding prints it");
  verb->add_option("--suppressions", options->suppressions,
                   "A file of findings to pass over, as ThreadSanitizer has them (race:function)");
  verb->add_option("--signal", options->signals,
                   "Let this signal come from outside too, once in a run, where its handler "
                   "conflicts with what the program does (USR1, SIGHUP, 15; may be repeated)")
      ->allow_extra_args(false);
  verb->add_flag("--json", options->json, "Print the result as JSON");
  verb->add_flag("-q,--quiet", options->quiet, "No progress line");
  verb->footer("Exit status: 0 nothing found, 66 a finding, 2 could not explore.");
  verb->callback([options, &status] {
    start_where_guests_have_room();
    try {
      if (!options->time.empty()) options->search.seconds = seconds_of(options->time);
      status = explore(*options);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "heddle: %s\n", error.what());
      status = 2;
    }
  });
}

}  // namespace heddle::cli
