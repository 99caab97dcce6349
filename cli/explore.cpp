#include <cstdio>

#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "explorer/exploration.h"

namespace heddle::cli {
namespace {

struct Options {
  std::string trace = "latest";
  uint64_t seed = 1;
  uint64_t schedules = 500;
  std::string schedule;
};

constexpr int kFound = 66;

void print_outcome(const RunOutcome& outcome, const std::string& expected) {
  std::printf("verdict: %s%s%s\n", std::string(name(outcome.verdict)).c_str(),
              outcome.reason.empty() ? "" : ", ", outcome.reason.c_str());
  if (outcome.verdict == Verdict::changed)
    std::printf("  recorded output: %s  this run's:      %s", expected.c_str(),
                outcome.output.c_str());
}

std::filesystem::path new_finding() {
  for (int n = 1;; ++n) {
    auto directory = trace_store() / ("f" + std::to_string(n));
    if (!std::filesystem::exists(directory)) return directory;
  }
}

int explore(const Options& options) {
  Exploration exploration(find_trace(options.trace));
  exploration.analyse();
  if (!options.schedule.empty()) {
    const auto outcome = exploration.run_schedule(Schedule::parse(options.schedule));
    print_outcome(outcome, "");
    if (outcome.verdict == Verdict::infeasible) return 2;
    return outcome.verdict == Verdict::same ? 0 : kFound;
  }
  const auto failure = exploration.search(options.seed, options.schedules, nullptr);
  const auto& summary = exploration.summary();
  if (failure) {
    const auto directory = new_finding();
    exploration.store(*failure, directory);
    const std::string finding = directory.filename();
    std::printf("finding %s: ", finding.c_str());
    print_outcome(failure->outcome, failure->expected_output);
    for (const auto& race : summary.races)
      std::printf("race: %s\n  and %s, both on 0x%llx, unordered\n", race.first_site.c_str(),
                  race.second_site.c_str(),
                  static_cast<unsigned long long>(race.candidate.first.address));
    std::printf("schedule: %s\n", failure->outcome.schedule.text().c_str());
    for (const auto& step : failure->outcome.schedule.steps)
      std::printf("  task %u stops at %s%s, task %u runs\n", step.at.task,
                  exploration.site(step.at.pc).c_str(),
                  step.at.phase == 1 ? " between its load and its store" : "", step.next);
    std::printf("seed %llu, found after %llu schedules, minimised from %llu steps to %zu\n",
                static_cast<unsigned long long>(options.seed),
                static_cast<unsigned long long>(failure->found_after),
                static_cast<unsigned long long>(failure->minimised_from),
                failure->outcome.schedule.steps.size());
    std::printf("replay it: heddle replay %s\n", finding.c_str());
  }
  uint64_t infeasible = 0;
  for (const auto& [reason, count] : summary.infeasible) infeasible += count;
  std::printf("tried: %llu unordered pairs, %llu schedules, %llu infeasible\n",
              static_cast<unsigned long long>(summary.pairs),
              static_cast<unsigned long long>(summary.schedules),
              static_cast<unsigned long long>(infeasible));
  for (const auto& [reason, count] : summary.infeasible)
    std::printf("  %llu: %s\n", static_cast<unsigned long long>(count), reason.c_str());
  if (failure) return kFound;
  return infeasible == summary.schedules && infeasible != 0 ? 2 : 0;
}

int races(const std::string& trace) {
  Exploration exploration(find_trace(trace));
  exploration.analyse();
  const auto& found = exploration.summary().races;
  for (const auto& race : found)
    std::printf("%s\n  and %s, both on 0x%llx, unordered\n", race.first_site.c_str(),
                race.second_site.c_str(),
                static_cast<unsigned long long>(race.candidate.first.address));
  return found.empty() ? 0 : kFound;
}

}  // namespace

void add_races(CLI::App& app, int& status) {
  auto trace = std::make_shared<std::string>("latest");
  auto* verb = app.add_subcommand("races", "Print the pairs of accesses that nothing orders");
  verb->add_option("trace", *trace, "A path, an id (t1, t2, ...) or latest");
  verb->callback([trace, &status] {
    try {
      status = races(*trace);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "heddle: %s\n", error.what());
      status = 2;
    }
  });
}

void add_explore(CLI::App& app, int& status) {
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("explore", "Run a recording under other schedules");
  verb->add_option("trace", options->trace, "A path, an id (t1, t2, ...) or latest");
  verb->add_option("--seed", options->seed, "Of all random choices");
  verb->add_option("--schedules", options->schedules, "How many to try at most");
  verb->add_option("--schedule", options->schedule, "Run just this one");
  verb->callback([options, &status] {
    try {
      status = explore(*options);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "heddle: %s\n", error.what());
      status = 2;
    }
  });
}

}  // namespace heddle::cli
