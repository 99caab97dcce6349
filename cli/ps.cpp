#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command_text.h"
#include "cli/rows.h"
#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "explorer/report/style.h"
#include "trace_format/process_tree.h"
#include "trace_format/reader.h"

namespace heddle::cli {
namespace {

struct Options {
  std::string trace = "latest";
  bool json = false;
};

std::string seconds(uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(ns) / 1e9);
  return text;
}

std::string how_it_ended(const TracedProcess& process) {
  if (process.released) return "released: " + *process.released;
  if (!process.status) return "unfinished";
  const int status = *process.status;
  return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                             : "exit " + std::to_string(WEXITSTATUS(status));
}

size_t depth(const ProcessTree& tree, size_t process) {
  size_t levels = 0;
  while (const auto parent = tree.processes()[process].parent) {
    process = *parent;
    ++levels;
  }
  return levels;
}

// Children under their parents, in the order in which they were made.
void order(const ProcessTree& tree, size_t process, std::vector<size_t>& out) {
  out.push_back(process);
  for (size_t i = process + 1; i < tree.processes().size(); ++i)
    if (tree.processes()[i].parent == process) order(tree, i, out);
}

std::string command(const ProcessTree& tree, size_t process) {
  const auto* program = tree.program(process);
  if (!program) return "";
  const auto text = command_text(program->arguments);
  return tree.processes()[process].programs.empty() ? "(" + text + ")" : text;
}

void print_table(const ProcessTree& tree) {
  Table table{{{"pid", true},
               {"parent", true},
               {"tasks", true},
               {"events", true},
               {"from s", true},
               {"to s", true},
               {"ended"},
               {"command"}},
              {}};
  std::vector<size_t> rows;
  if (!tree.processes().empty()) order(tree, 0, rows);
  for (const size_t i : rows) {
    const auto& process = tree.processes()[i];
    const auto parent = process.parent;
    table.rows.push_back(
        {std::to_string(process.pid), parent ? std::to_string(tree.processes()[*parent].pid) : "",
         std::to_string(process.tasks.size()), std::to_string(process.events),
         seconds(process.began_ns), seconds(process.ended_ns), how_it_ended(process),
         std::string(2 * depth(tree, i), ' ') + command(tree, i)});
  }
  print(table, stdout);
}

void print_json(const ProcessTree& tree) {
  auto all = nlohmann::ordered_json::array();
  for (size_t i = 0; i < tree.processes().size(); ++i) {
    const auto& process = tree.processes()[i];
    nlohmann::ordered_json row;
    row["pid"] = process.pid;
    row["parent"] = nullptr;
    if (process.parent) row["parent"] = tree.processes()[*process.parent].pid;
    const auto* program = tree.program(i);
    row["command"] = program ? program->arguments : std::vector<std::string>{};
    row["programs"] = nlohmann::ordered_json::array();
    for (const auto& executed : process.programs) {
      nlohmann::ordered_json entry;
      entry["event"] = executed.event;
      entry["time_ns"] = executed.time_ns;
      entry["path"] = executed.path;
      entry["arguments"] = executed.arguments;
      row["programs"].push_back(std::move(entry));
    }
    row["tasks"] = process.tasks;
    row["events"] = process.events;
    row["ticks"] = process.ticks;
    row["began_ns"] = process.began_ns;
    row["ended_ns"] = process.ended_ns;
    row["exit"] = nullptr;
    row["signal"] = nullptr;
    if (process.status && WIFSIGNALED(*process.status))
      row["signal"] = WTERMSIG(*process.status);
    else if (process.status)
      row["exit"] = WEXITSTATUS(*process.status);
    row["released"] = nullptr;
    if (process.released) row["released"] = *process.released;
    all.push_back(std::move(row));
  }
  std::puts(all.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

int ps(const Options& options) {
  TraceReader trace(find_trace(options.trace));
  ProcessTree tree;
  while (const auto event = trace.next()) tree.add(*event);
  if (options.json)
    print_json(tree);
  else
    print_table(tree);
  if (!trace.cut_off().empty()) std::fprintf(stderr, "heddle: %s\n", trace.cut_off().c_str());
  return 0;
}

}  // namespace

void add_ps(CLI::App& app, int& status) {
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("ps", "The processes of a trace");
  verb->add_option("trace", options->trace, "A path, an id (t1, f1, ...) or latest");
  verb->add_flag("--json", options->json, "An array of one object a process");
  verb->footer("A command in parentheses is its parent's: the process executed none of its own.");
  verb->callback([options, &status] { status = or_one_line(2, [&] { return ps(*options); }); });
}

}  // namespace heddle::cli
