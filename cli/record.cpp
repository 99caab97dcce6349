#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <sstream>

#include "cli/byte_count.h"
#include "cli/catalogued_recording.h"
#include "cli/duration.h"
#include "cli/recording_signals.h"
#include "cli/save_on.h"
#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "recorder/recorder.h"

extern char** environ;

namespace heddle::cli {
namespace {

struct Options {
  std::string directory;
  std::vector<std::string> environment;
  std::string working_directory;
  std::vector<std::string> command;
  int print_directory = -1;
  RecordOptions recording;
  std::string follow = "children", max_size, max_time, on_failure = "continue", save_on = "always";
  std::string cpu_features = "avx";
  bool quiet = false;
  bool statistics = false;
};

// What the words on the command line say, for the recorder.
RecordOptions recording_of(const Options& options) {
  using Follow = RecordOptions::Follow;
  RecordOptions recording = options.recording;
  recording.follow = options.follow == "none"       ? Follow::none
                     : options.follow == "children" ? Follow::children
                                                    : Follow::filtered;
  if ((recording.follow == Follow::filtered) != !recording.followed.empty())
    throw CLI::ValidationError("--follow=exec-filter and --exec-filter PATTERN go together");
  recording.on_failure = options.on_failure == "stop" ? RecordOptions::OnFailure::stop
                                                      : RecordOptions::OnFailure::let_go;
  recording.cpu_features = options.cpu_features == "sse" ? CpuFeatures::sse : CpuFeatures::avx;
  if (!options.max_size.empty()) recording.max_bytes = byte_count(options.max_size);
  if (!options.max_time.empty())
    recording.max_ns = static_cast<uint64_t>(seconds_of(options.max_time) * 1e9);
  try {
    recording.shared_files = trace_store() / ".files";
    recording.translations = translation_store();
  } catch (const std::exception&) {
    // No store: each trace has copies of its own.
  }
  return recording;
}

// As execvp(3) finds it.
std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const char* path = std::getenv("PATH");
  std::istringstream directories(path ? path : "/usr/bin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');) {
    auto candidate = (directory.empty() ? "." : directory) + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw ExecFailed(name + ": not found in PATH", ENOENT);
}

Program program_of(const Options& options) {
  Program program;
  program.path = find_program(options.command.front());
  program.arguments = options.command;
  program.working_directory = options.working_directory;
  for (const auto& given : options.environment)
    if (given.find('=') == given.npos || given.front() == '=')
      throw CLI::ValidationError("--env: '" + given + "' is not NAME=VALUE");
  for (char** variable = environ; *variable; ++variable) {
    const std::string text = *variable;
    bool replaced = false;
    for (const auto& given : options.environment)
      replaced =
          replaced || given.substr(0, given.find('=') + 1) == text.substr(0, text.find('=') + 1);
    if (!replaced) program.environment.push_back(text);
  }
  program.environment.insert(program.environment.end(), options.environment.begin(),
                             options.environment.end());
  return program;
}

std::unique_ptr<Recorder> start(const Program& program, const RecordOptions& how,
                                CataloguedRecording& entry) {
  try {
    return std::make_unique<Recorder>(program, entry.directory(), how);
  } catch (const std::exception&) {
    entry.withdraw();
    throw;
  }
}

int run(Recorder& recorder, CataloguedRecording& entry) {
  try {
    const int status = recorder.run();
    entry.finished(
        {status, recorder.events(), recorder.bytes(), recorder.ticks(), recorder.tainted()});
    return status;
  } catch (const std::exception& error) {
    entry.failed(error.what());
    throw;
  }
}

void report(const Recorder& recorder, const CataloguedRecording& entry, const Options& options,
            bool kept, double seconds) {
  const auto events = static_cast<unsigned long long>(recorder.events());
  if (recorder.released())
    std::fprintf(stderr, "heddle: recording stopped: %s; the program went on without it\n",
                 recorder.released()->c_str());
  else if (recorder.failure())
    std::fprintf(stderr, "heddle: the recording is cut off: %s\n", recorder.failure()->c_str());
  if (kept)
    for (const auto& [reason, event] : recorder.taints())
      std::fprintf(stderr, "heddle: tainted from event %llu on: %s\n",
                   static_cast<unsigned long long>(event), reason.c_str());
  if (!options.quiet && kept)
    std::fprintf(
        stderr, "heddle: recorded %s: %llu events, %llu bytes (%.1f an event, %.0f a second)\n",
        entry.directory().c_str(), events, static_cast<unsigned long long>(recorder.bytes()),
        static_cast<double>(recorder.bytes()) / static_cast<double>(events),
        static_cast<double>(recorder.bytes()) / seconds);
  if (!options.quiet && !kept)
    std::fprintf(stderr, "heddle: recorded %llu events, not kept (--save-on=%s)\n", events,
                 options.save_on.c_str());
  if (!options.statistics) return;
  std::fprintf(stderr, "heddle: %llu stops, %llu system calls without one\n",
               static_cast<unsigned long long>(recorder.stops()),
               static_cast<unsigned long long>(recorder.logged_calls()));
  std::string most;
  for (const auto& [name, times] : recorder.stopped_calls(8))
    most += (most.empty() ? "" : ", ") + name + " " + std::to_string(times);
  std::fprintf(stderr, "heddle: calls that stopped most: %s\n", most.c_str());
}

int record(const Options& options) {
  const RecordOptions how = recording_of(options);
  const SaveOn save_on(options.save_on);
  Program program = program_of(options);
  RecordingSignals signals;
  program.ignored_signals = signals.ignored();
  CataloguedRecording entry(options.directory, options.command);
  auto recorder = start(program, how, entry);
  signals.concern(*recorder, how.max_ns);
  if (save_on.always()) entry.is_latest();
  if (options.print_directory >= 0)
    dprintf(options.print_directory, "%s\n", entry.directory().c_str());
  const auto began = std::chrono::steady_clock::now();
  const int status = run(*recorder, entry);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const bool kept = save_on.keeps(status, recorder->endings());
  if (!kept)
    entry.discard();
  else if (!save_on.always())
    entry.is_latest();
  report(*recorder, entry, options, kept, took.count());
  return status;
}

}  // namespace

int end_as(int status) {
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  std::signal(WTERMSIG(status), SIG_DFL);
  raise(WTERMSIG(status));
  return 128 + WTERMSIG(status);
}

void add_record(CLI::App& app, int& status) {
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("record", "Run a program and write a trace of the run");
  verb->add_option("-o,--output", options->directory, "Directory of the trace (new or empty)");
  verb->add_option("-v,--env", options->environment,
                   "NAME=VALUE for the program's environment; may be given more than once")
      ->allow_extra_args(false);
  verb->add_option("--cwd", options->working_directory, "Directory to run the program in");
  verb->add_option("--print-trace-dir", options->print_directory,
                   "Write the trace's directory and a newline to this descriptor");
  verb->add_option("--follow", options->follow,
                   "Which processes that the program starts are recorded: none, children (all; the "
                   "default), or exec-filter; the others run by themselves")
      ->check(CLI::IsMember({"none", "children", "exec-filter"}));
  verb->add_option(
          "--exec-filter", options->recording.followed,
          "With --follow=exec-filter: record programs whose path (or, in a pattern without "
          "a slash, its last part) matches; may be given more than once")
      ->allow_extra_args(false);
  verb->add_option("--max-size", options->max_size,
                   "Stop recording when the events take so much (500K, 10M, 2G); the program goes "
                   "on without");
  verb->add_option("--max-time", options->max_time,
                   "Stop recording after so long (90s, 10m, 2h); the program goes on without");
  verb->add_option("--on-failure", options->on_failure,
                   "When the trace cannot be written any more (a full disk): continue lets the "
                   "program go on without (the default), stop ends it")
      ->check(CLI::IsMember({"continue", "stop"}));
  verb->add_option("--save-on", options->save_on,
                   "Keep the trace only on crash, signal or exit!=0, or on some of them, with "
                   "commas between; the default is always");
  verb->add_flag("-w,--wait,!--no-wait", options->recording.wait,
                 "Record until all processes have ended (the default), or (--no-wait) the first; "
                 "the others go on without");
  verb->add_option("--hash-every", options->recording.hash_every,
                   "Keep a hash of the state every so many ticks (slow; finds divergences)");
  verb->add_option("--cpu-features", options->cpu_features,
                   "Instruction sets that the program is shown: avx (all up to AVX2, the default; "
                   "AVX-512 is hidden) or sse")
      ->check(CLI::IsMember({"avx", "sse"}));
  verb->add_flag("-q,--quiet", options->quiet, "No summary line");
  verb->add_flag("--statistics", options->statistics, "Print how often the program was stopped");
  verb->add_option("command", options->command, "The program and its arguments, after --")
      ->required();
  verb->prefix_command(false);
  verb->footer(
      "Exit status: the program's, a fatal signal included; 125 heddle's own failure, 126 the "
      "program cannot be executed, 127 it is not found. Ctrl-C is the program's; two within a "
      "second, or SIGINT sent to heddle alone, end the recording and let the program go on. "
      "SIGTERM, "
      "SIGQUIT and SIGHUP sent to heddle alone are passed on to the program.");
  verb->callback([options, &status] {
    try {
      status = end_as(record(*options));
    } catch (const ExecFailed& error) {
      std::fprintf(stderr, "heddle: %s\n", error.what());
      status = error.error == ENOENT ? 127 : 126;
    } catch (const std::invalid_argument& error) {
      std::fprintf(stderr, "heddle: %s\n", error.what());
      status = 2;
    }
  });
}

}  // namespace heddle::cli
