#include <cstdio>
#include <exception>

#include "cli/verbs.h"

int main(int argc, char** argv) {
  CLI::App app{
      "heddle records a run of a program, replays it exactly and explores its interleavings"};
  app.set_version_flag("--version", "heddle 0.1.0");
  app.require_subcommand(1);
  int status = 0;
  heddle::cli::add_record(app, status);
  heddle::cli::add_replay(app, status);
  heddle::cli::add_events(app, status);
  heddle::cli::add_explore(app, status);
  heddle::cli::add_races(app, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "heddle: %s\n", error.what());
    return 125;
  }
  return status;
}
