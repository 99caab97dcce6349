#include <unistd.h>

#include <cstdio>

#include "cli/catalog_location.h"
#include "cli/catalogued_run.h"
#include "cli/divergence_report.h"
#include "cli/stacks_at.h"
#include "cli/verbs.h"
#include "replayer/lockstep.h"
#include "replayer/replayer.h"
#include "trace_format/reader.h"

namespace heddle::cli {

int end_as(int status);

namespace {

int replay(const std::filesystem::path& path, const std::string& name, bool quiet,
           CataloguedRun& run) {
  TraceReader trace(path);
  const auto first = trace.next();
  if (!first) throw TraceError("the trace is empty: " + trace.cut_off());
  translator::Options options;
  options.runtime_syscalls = true;
  options.fast = true;
  Replayer replayer(
      *first, [&](const std::string& content) { return trace.pinned(content); },
      [](int stream, std::span<const uint8_t> bytes) {
        size_t done = 0;
        while (done < bytes.size()) {
          const ssize_t put = write(stream, bytes.data() + done, bytes.size() - done);
          if (put <= 0) break;
          done += static_cast<size_t>(put);
        }
      },
      options, translation_store());
  uint64_t events = 1;
  try {
    while (true) {
      while (const auto calls = trace.next_calls()) {
        replayer.advance(*calls);
        events += calls->events;
      }
      const auto event = trace.next();
      if (!event) break;
      replayer.advance(*event);
      if (const auto* taint = std::get_if<event::Taint>(&event->body))
        std::fprintf(stderr, "heddle: tainted from event %llu on: %s\n",
                     static_cast<unsigned long long>(event->number), taint->reason.c_str());
      ++events;
    }
    replayer.catch_up();
  } catch (const Divergence& divergence) {
    std::fprintf(stderr, "heddle: %s\n", divergence.what());
    run.end(divergence.what());
    report_divergence(divergence, path, name);
    return 3;
  }
  if (!trace.cut_off().empty()) {
    run.end("as recorded, up to where the recording was cut off");
    std::fprintf(stderr, "heddle: replayed %llu events; %s\n",
                 static_cast<unsigned long long>(events), trace.cut_off().c_str());
    return 0;
  }
  run.end("as recorded");
  if (!quiet)
    std::fprintf(
        stderr, "heddle: replayed %llu events, each as recorded%s\n",
        static_cast<unsigned long long>(events),
        replayer.released()
            ? ("; then the program went on by itself, since " + *replayer.released()).c_str()
            : "");
  return replayer.exit_status() ? end_as(*replayer.exit_status()) : 0;
}

int lockstep(const std::filesystem::path& path, CataloguedRun& run) {
  TraceReader trace(path);
  const auto recording = trace.read_all();
  if (recording.empty()) throw TraceError("the trace is empty: " + trace.cut_off());
  const auto result =
      run_in_lockstep(recording, [&](const std::string& content) { return trace.pinned(content); });
  if (!result.agreed) {
    run.end("divergence at " + result.difference);
    std::fprintf(stderr, "heddle: divergence at %s", result.difference.c_str());
    return 3;
  }
  run.end("agreed in lockstep");
  std::fprintf(stderr, "heddle: %llu events and %llu state hashes agree in both translations\n",
               static_cast<unsigned long long>(result.events),
               static_cast<unsigned long long>(result.hashes));
  return 0;
}

struct Options {
  std::string trace = "latest";
  bool quiet = false;
  bool lockstep = false;
  std::string stacks_at;
};

int replay(const std::filesystem::path& path, const Options& options, CataloguedRun& run) {
  try {
    if (options.lockstep) return lockstep(path, run);
    return replay(path, options.trace, options.quiet, run);
  } catch (const std::exception& error) {
    run.end(error.what());
    throw;
  }
}

// Beside the catalog; null where that cannot be.
std::unique_ptr<PendingRecording> enter(const std::filesystem::path& trace) {
  try {
    return PendingRecording::replay(catalog_path(), trace);
  } catch (const CatalogError&) {
    return nullptr;  // opening the catalog tells what is wrong
  }
}

int catalogued(const Options& options) {
  if (const auto path = path_without_catalog(options.trace)) {
    if (auto entered = enter(*path)) {
      CataloguedRun run(std::move(entered));
      return replay(*path, options, run);
    }
  }
  const auto location = locate_trace(options.trace);
  CataloguedRun run("replay");
  run.begin(location);
  return replay(location.path, options, run);
}

}  // namespace

void add_replay(CLI::App& app, int& status) {
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("replay", "Run a recording again from its trace alone");
  verb->add_option("trace", options->trace, "A path, an id (t1, f1, ...) or latest");
  verb->add_flag("-q,--quiet", options->quiet, "No summary line");
  verb->add_flag("--lockstep", options->lockstep,
                 "Run two translations side by side and find the first place where the state "
                 "differs");
  verb->add_option("--stacks-at", options->stacks_at,
                   "Print the call stacks of every task after this event, or at this place "
                   "(TASK@TICKS:PC), in place of what the program prints, and stop");
  verb->footer("Exit status: the program's; 3 where the replay left the recording.");
  verb->callback([options, &status] {
    status = options->stacks_at.empty() ? catalogued(*options)
                                        : print_stacks_at(options->trace, options->stacks_at);
  });
}

}  // namespace heddle::cli
