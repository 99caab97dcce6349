#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <sstream>

#include "cli/catalogued_recording.h"
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
  bool quiet = false;
  bool statistics = false;
};

// As execvp(3) finds it.
std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const char* path = std::getenv("PATH");
  std::istringstream directories(path ? path : "/usr/bin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');) {
    const auto candidate = (directory.empty() ? "." : directory) + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw ExecFailed(name + ": not found in PATH", ENOENT);
}

std::unique_ptr<Recorder> start(const Program& program, const RecordOptions& how,
                                CataloguedRecording& entry) {
  try {
    auto recorder = std::make_unique<Recorder>(program, entry.directory(), how);
    entry.started();
    return recorder;
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

int record(const Options& options) {
  Program program;
  program.path = find_program(options.command.front());
  program.arguments = options.command;
  program.working_directory = options.working_directory;
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
  CataloguedRecording entry(options.directory, options.command);
  // The terminal's interrupt is the program's business; what it does decides how we end.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGQUIT, SIG_IGN);
  auto recorder = start(program, options.recording, entry);
  if (options.print_directory >= 0)
    dprintf(options.print_directory, "%s\n", entry.directory().c_str());
  const int status = run(*recorder, entry);
  for (const auto& [reason, event] : recorder->taints())
    std::fprintf(stderr, "heddle: tainted from event %llu on: %s\n",
                 static_cast<unsigned long long>(event), reason.c_str());
  if (!options.quiet)
    std::fprintf(stderr, "heddle: recorded %s: %llu events, %llu bytes\n",
                 entry.directory().c_str(), static_cast<unsigned long long>(recorder->events()),
                 static_cast<unsigned long long>(recorder->bytes()));
  if (options.statistics)
    std::fprintf(stderr, "heddle: %llu stops, %llu system calls without one\n",
                 static_cast<unsigned long long>(recorder->stops()),
                 static_cast<unsigned long long>(recorder->logged_calls()));
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
  verb->add_option("-v,--env", options->environment, "NAME=VALUE for the program's environment");
  verb->add_option("-w,--cwd", options->working_directory, "Directory to run the program in");
  verb->add_option("--print-trace-dir", options->print_directory,
                   "Write the trace's directory to this descriptor");
  verb->add_option("--hash-every", options->recording.hash_every,
                   "Keep a hash of the state every so many ticks (slow; finds divergences)");
  verb->add_option("--cpu-features", options->recording.cpu_features,
                   "Instruction sets that the program is shown: avx (all up to AVX2; AVX-512 is "
                   "hidden) or sse")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, CpuFeatures>{{"avx", CpuFeatures::avx}, {"sse", CpuFeatures::sse}}))
      ->default_str("avx");
  verb->add_flag("-q,--quiet", options->quiet, "No summary line");
  verb->add_flag("--statistics", options->statistics, "Print how often the program was stopped");
  verb->add_option("command", options->command, "The program and its arguments, after --")
      ->required();
  verb->prefix_command(false);
  verb->callback([options, &status] {
    try {
      status = end_as(record(*options));
    } catch (const ExecFailed& error) {
      std::fprintf(stderr, "heddle: %s\n", error.what());
      status = error.error == ENOENT ? 127 : 126;
    }
  });
}

}  // namespace heddle::cli
