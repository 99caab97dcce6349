#include <cinttypes>
#include <cstdio>

#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "explorer/report/style.h"
#include "machine/syscalls/describe.h"
#include "replayer/divergence.h"
#include "replayer/run_difference.h"
#include "trace_format/reader.h"

namespace heddle::cli {
namespace {

struct Options {
  std::string left, right;
};

constexpr size_t kShownAnswers = 5;

std::vector<Event> read(const std::string& name) {
  return TraceReader(find_trace(name)).read_all();
}

void print(const char* name, const std::optional<Event>& event) {
  if (!event) {
    std::printf("  %-5s nothing more\n", name);
    return;
  }
  const auto* call = std::get_if<event::Syscall>(&event->body);
  std::printf("  %-5s event %" PRIu64 " @%" PRIu64 ":%" PRIx64 " %s\n", name, event->number,
              event->place.ticks, event->place.pc,
              report::printable(call ? describe_call(*call) : describe(event->body)).c_str());
}

bool parts(const TaskDifference& task) {
  return task.left || task.right;
}

void print(const TaskDifference& task) {
  std::printf("task %s parts after %s\n", task.task.c_str(),
              report::counted(task.same, "event").c_str());
  print("left", task.left);
  print("right", task.right);
  const size_t count = task.answers.size();
  if (count == 0) return;
  std::printf(
      "  answered differently before that%s\n",
      count > kShownAnswers
          ? (", the last " + std::to_string(kShownAnswers) + " of " + std::to_string(count)).c_str()
          : "");
  for (size_t i = count - std::min(count, kShownAnswers); i < count; ++i) {
    print("left", task.answers[i].first);
    print("right", task.answers[i].second);
  }
}

int diff(const Options& options) {
  const auto difference = compare_runs(read(options.left), read(options.right));
  if (!difference.first) {
    size_t events = 0;
    for (const auto& task : difference.tasks) events += task.same;
    std::printf("the same: %s of %s%s\n", report::counted(events, "event").c_str(),
                report::counted(difference.tasks.size(), "task").c_str(),
                difference.other_schedule ? ", switched at other places" : "");
    return 0;
  }
  print(difference.tasks[*difference.first]);
  for (size_t i = 0; i < difference.tasks.size(); ++i) {
    const auto& task = difference.tasks[i];
    if (i != *difference.first && parts(task))
      std::printf("task %s parts after %s\n", task.task.c_str(),
                  report::counted(task.same, "event").c_str());
  }
  return 1;
}

}  // namespace

void add_diff(CLI::App& app, int& status) {
  auto options = std::make_shared<Options>();
  auto* verb = app.add_subcommand("diff", "Where two runs of a program part");
  verb->add_option("left", options->left, "A path, an id (t1, f1, ...) or latest")->required();
  verb->add_option("right", options->right, "Another")->required();
  verb->footer(
      "Tasks are compared one by one, named by descent (1.2 is the second child of task 1); the "
      "one "
      "that parts first is shown. Exit status: 0 they do not part, 1 they do, 2 cannot be told.");
  verb->callback([options, &status] { status = or_one_line(2, [&] { return diff(*options); }); });
}

}  // namespace heddle::cli
