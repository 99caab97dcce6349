// The verbs of the command line. Each adds its subcommand; running it sets `status`.
#pragma once

#include <CLI/CLI.hpp>

namespace heddle::cli {

void add_record(CLI::App& app, int& status);
void add_replay(CLI::App& app, int& status);
void add_events(CLI::App& app, int& status);
void add_races(CLI::App& app, int& status);
void add_explore(CLI::App& app, int& status);

}  // namespace heddle::cli
