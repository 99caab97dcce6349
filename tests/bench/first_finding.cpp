// Searches of a recording, each until its first finding, which is not minimised.
//
// Usage: first_finding TRACE SCHEDULES STRATEGY SEED...
//
// Prints a line for each seed: schedules tried, seconds, and "found", or why it ended without.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "cli/room_for_guest.h"
#include "explorer/exploration.h"

namespace {

void search(heddle::Exploration& exploration, const heddle::ExplorationOptions& options) {
  std::string end;
  try {
    const bool found = exploration.search(options).has_value();
    end = found ? "found" : exploration.summary().stopped;
  } catch (const std::exception& error) {
    end = error.what();
  }
  const auto& summary = exploration.summary();
  std::printf("%llu %.3f %s\n", static_cast<unsigned long long>(summary.schedules), summary.seconds,
              end.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 5) {
    std::fprintf(stderr, "usage: %s TRACE SCHEDULES STRATEGY SEED...\n", arguments[0]);
    return 2;
  }
  heddle::cli::start_where_guests_have_room();
  try {
    heddle::Exploration exploration(arguments[1]);
    exploration.analyse();
    heddle::ExplorationOptions options;
    options.schedules = std::strtoull(arguments[2], nullptr, 10);
    options.strategy = arguments[3];
    options.explain = false;
    for (int i = 4; i < count; ++i) {
      options.seed = std::strtoull(arguments[i], nullptr, 10);
      // In a process of its own: a search goes on where the one before it ended.
      const pid_t child = fork();
      if (child == 0) {
        search(exploration, options);
        _exit(0);
      }
      waitpid(child, nullptr, 0);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", arguments[0], error.what());
    return 1;
  }
  return 0;
}
