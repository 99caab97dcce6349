#include <unistd.h>

#include <cstdio>

#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "replayer/lockstep.h"
#include "replayer/replayer.h"
#include "trace_format/reader.h"

namespace heddle::cli {

int end_as(int status);

namespace {

int replay(const std::string& name, bool quiet) {
  TraceReader trace(find_trace(name));
  const auto first = trace.next();
  if (!first) throw TraceError("the trace is empty: " + trace.cut_off());
  Replayer replayer(
      *first, [&](const std::string& content) { return trace.pinned(content); },
      [](int stream, std::span<const uint8_t> bytes) {
        size_t done = 0;
        while (done < bytes.size()) {
          const ssize_t put = write(stream, bytes.data() + done, bytes.size() - done);
          if (put <= 0) break;
          done += static_cast<size_t>(put);
        }
      });
  uint64_t events = 1;
  try {
    while (const auto event = trace.next()) {
      replayer.advance(*event);
      if (const auto* taint = std::get_if<event::Taint>(&event->body))
        std::fprintf(stderr, "heddle: tainted from event %llu on: %s\n",
                     static_cast<unsigned long long>(event->number), taint->reason.c_str());
      ++events;
    }
  } catch (const Divergence& divergence) {
    std::fprintf(stderr, "heddle: %s\n", divergence.what());
    return 3;
  }
  if (!trace.cut_off().empty()) {
    std::fprintf(stderr, "heddle: replayed %llu events; %s\n",
                 static_cast<unsigned long long>(events), trace.cut_off().c_str());
    return 0;
  }
  if (!quiet)
    std::fprintf(stderr, "heddle: replayed %llu events, each as recorded\n",
                 static_cast<unsigned long long>(events));
  return replayer.exit_status() ? end_as(*replayer.exit_status()) : 0;
}

int lockstep(const std::string& name) {
  TraceReader trace(find_trace(name));
  const auto recording = trace.read_all();
  if (recording.empty()) throw TraceError("the trace is empty: " + trace.cut_off());
  const auto result =
      run_in_lockstep(recording, [&](const std::string& content) { return trace.pinned(content); });
  if (!result.agreed) {
    std::fprintf(stderr, "heddle: divergence at %s", result.difference.c_str());
    return 3;
  }
  std::fprintf(stderr, "heddle: %llu events and %llu state hashes agree in both translations\n",
               static_cast<unsigned long long>(result.events),
               static_cast<unsigned long long>(result.hashes));
  return 0;
}

}  // namespace

void add_replay(CLI::App& app, int& status) {
  struct Options {
    std::string trace = "latest";
    bool quiet = false;
    bool lockstep = false;
  };
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("replay", "Run a recording again from its trace alone");
  verb->add_option("trace", options->trace, "A path, an id (t1, t2, ...) or latest");
  verb->add_flag("-q,--quiet", options->quiet, "No summary line");
  verb->add_flag("--lockstep", options->lockstep,
                 "Run two translations side by side and find the first place where the state "
                 "differs");
  verb->footer("Exit status: the program's; 3 where the replay left the recording.");
  verb->callback([options, &status] {
    status = options->lockstep ? lockstep(options->trace) : replay(options->trace, options->quiet);
  });
}

}  // namespace heddle::cli
