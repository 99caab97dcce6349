#include <cstdio>
#include <cstring>

#include "cli/catalogued_exploration.h"
#include "cli/verbs.h"
#include "explorer/exploration.h"
#include "explorer/heap_blocks.h"
#include "explorer/kernel_accesses.h"
#include "machine/syscalls/table.h"

namespace heddle::cli {
namespace {

constexpr int kFound = 66;

// The innermost function, and the way through inlined ones to the function that has a frame.
std::string position(const Symbols& symbols, uint64_t pc) {
  std::string text;
  for (const Site& site : symbols.sites(pc)) {
    if (!text.empty()) text += ", inlined in ";
    char address[32];
    std::snprintf(address, sizeof address, "0x%llx", static_cast<unsigned long long>(pc));
    text += site.function.empty() ? address : site.function;
    if (!site.file.empty())
      text += " " + site.file + ":" + std::to_string(site.line);
    else if (!site.module.empty())
      text += " (" + site.module + ")";
  }
  return text;
}

// Who: a thread, or a handler that interrupted it.
std::string who(const AnalysedRun& run, const Access& access) {
  std::string text = "thread " + std::to_string(access.place.task);
  const auto handler = run.handlers.find(access.strand);
  if (handler == run.handlers.end()) return text;
  const char* name = sigabbrev_np(handler->second);
  return text + " in the handler of " +
         (name ? "SIG" + std::string(name) : "signal " + std::to_string(handler->second));
}

std::string_view act(AccessKind kind) {
  switch (kind) {
    case AccessKind::read:
      return "read";
    case AccessKind::write:
      return "write";
    case AccessKind::update:
      return "update";
    case AccessKind::locked:
      return "locked update";
  }
  return "?";
}

std::string act(const Access& access) {
  std::string text(act(access.kind));
  if (!descriptor_at(access.address)) text += " of " + std::to_string(access.size) + " bytes";
  if (access.by_call == 0) return text;
  if (access.by_call == kFreed) return "free of the block";
  const Syscall* call = find(access.by_call - 1u);
  return text + " by the kernel for " + (call ? call->name : "a system call");
}

int races(const std::string& trace, const std::string& suppressions,
          const AnalysisOptions& options) {
  const auto location = locate_trace(trace);
  Exploration exploration(location.path);
  if (!suppressions.empty()) exploration.suppress(Suppressions::read(suppressions));
  CataloguedExploration entry("races", location, {});
  const AnalysedRun& run = exploration.analyse(options);
  const Symbols& symbols = exploration.symbols();
  entry.analysed(run, symbols);
  for (const auto& access : run.freed_twice)
    std::printf("freed twice: the block at 0x%llx, by thread %u\n",
                static_cast<unsigned long long>(access.address), access.place.task);
  for (const auto& race : run.races) {
    std::string what = symbols.variable(race.first.address);
    if (what.empty()) what = location_name(race.first.address);
    char address[32];
    std::snprintf(address, sizeof address, "0x%llx",
                  static_cast<unsigned long long>(race.first.address));
    what = what.empty() ? address : what.append(" (").append(address).append(")");
    std::printf("nothing orders these accesses to %s:\n", what.c_str());
    for (const auto* side : {&race.first, &race.second})
      std::printf("  %s: %s, %s\n", who(run, *side).c_str(), act(*side).c_str(),
                  position(symbols, side->place.pc).c_str());
  }
  if (exploration.summary().suppressed > 0)
    std::fprintf(stderr, "heddle: %llu pairs suppressed\n",
                 static_cast<unsigned long long>(exploration.summary().suppressed));
  std::fprintf(stderr, "heddle: %zu unordered pairs, %zu ordered only by locks, in %llu accesses\n",
               run.races.size(), run.lock_ordered.size(),
               static_cast<unsigned long long>(run.accesses));
  if (run.left_out > 0)
    std::fprintf(stderr,
                 "heddle: only the first process was looked at: %llu threads of others were not\n",
                 static_cast<unsigned long long>(run.left_out));
  entry.ended(std::to_string(run.races.size()) + " unordered pairs");
  return run.races.empty() && run.freed_twice.empty() ? 0 : kFound;
}

}  // namespace

void add_races(CLI::App& app, int& status) {
  auto trace = std::make_shared<std::string>("latest");
  auto suppressions = std::make_shared<std::string>();
  auto* verb = app.add_subcommand("races", "Print the pairs of accesses that nothing orders");
  verb->add_option("trace", *trace, "A path, an id (t1, t2, ...) or latest");
  verb->add_option(
      "--suppressions", *suppressions,
      "A file of pairs not to print, as ThreadSanitizer has them (race:function, ...)");
  auto options = std::make_shared<AnalysisOptions>();
  verb->add_option(
          "--filter-above", options->filter_above,
          "Replay a run of more ticks twice, first to learn which memory its threads share")
      ->capture_default_str();
  verb->footer("Exit status: 0 none, 66 some, 2 could not analyse.");
  verb->callback([trace, suppressions, options, &status] {
    try {
      status = races(*trace, *suppressions, *options);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "heddle: %s\n", error.what());
      status = 2;
    }
  });
}

}  // namespace heddle::cli
