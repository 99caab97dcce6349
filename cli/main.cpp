#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <exception>

#include "cli/catalog_location.h"
#include "cli/verbs.h"

namespace heddle::cli {

int or_one_line(int failed, const std::function<int()>& verb) {
  try {
    return verb();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "heddle: %s\n", error.what());
    return failed;
  }
}

}  // namespace heddle::cli

namespace {

// What heddle decides on the way, for who looks into it; results and errors are the verbs'.
void add_log_option(CLI::App& app) {
  spdlog::set_default_logger(spdlog::stderr_logger_st("heddle"));
  spdlog::set_pattern("heddle: %v");
  spdlog::set_level(spdlog::level::warn);
  app.add_option_function<std::string>(
         "--log",
         [](const std::string& level) { spdlog::set_level(spdlog::level::from_str(level)); },
         "What to tell on the way: warn (the default), info, debug or trace")
      ->check(CLI::IsMember({"warn", "info", "debug", "trace"}))
      ->envname("HEDDLE_LOG");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "heddle records a run of a program, replays it exactly and explores its interleavings"};
  app.set_version_flag("--version", "heddle 0.1.0");
  app.require_subcommand(1);
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return std::string("heddle: ") + error.what() + " (heddle --help says more)\n";
  });
  int status = 0;
  add_log_option(app);
  heddle::cli::add_catalog_option(app);
  heddle::cli::add_record(app, status);
  heddle::cli::add_replay(app, status);
  heddle::cli::add_events(app, status);
  heddle::cli::add_diff(app, status);
  heddle::cli::add_explore(app, status);
  heddle::cli::add_races(app, status);
  heddle::cli::add_pack(app, status);
  heddle::cli::add_unpack(app, status);
  heddle::cli::add_ps(app, status);
  heddle::cli::add_list(app, status);
  heddle::cli::add_show(app, status);
  heddle::cli::add_remove(app, status);
  heddle::cli::add_query(app, status);
  heddle::cli::add_doctor(app, status);
  heddle::cli::add_syscall_page(app, status);
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
