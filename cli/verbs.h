// The verbs of the command line. Each adds its subcommand; running it sets `status`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace heddle::cli {

void add_record(CLI::App& app, int& status);
void add_replay(CLI::App& app, int& status);
void add_events(CLI::App& app, int& status);
void add_diff(CLI::App& app, int& status);
void add_races(CLI::App& app, int& status);
void add_explore(CLI::App& app, int& status);
void add_pack(CLI::App& app, int& status);
void add_unpack(CLI::App& app, int& status);
void add_ps(CLI::App& app, int& status);
void add_list(CLI::App& app, int& status);
void add_remove(CLI::App& app, int& status);
void add_show(CLI::App& app, int& status);
void add_query(CLI::App& app, int& status);
void add_doctor(CLI::App& app, int& status);
void add_syscall_page(CLI::App& app, int& status);

// The verb's exit status; where it throws, one line on standard error and `failed`.
int or_one_line(int failed, const std::function<int()>& verb);

}  // namespace heddle::cli
