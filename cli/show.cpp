#include <unistd.h>

#include <cstdio>
#include <map>
#include <set>

#include "cli/catalog_location.h"
#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "cli/when.h"
#include "explorer/report/finding_text.h"
#include "explorer/report/style.h"
#include "replayer/divergence.h"
#include "trace_format/reader.h"

namespace heddle::cli {
namespace {

using report::counted;
using report::grouped;
using report::printable;

void field(const char* name, const std::string& value) {
  std::printf("  %-10s %s\n", name, printable(value).c_str());
}

// What the events of a trace tell.
struct Contents {
  std::map<std::string, uint64_t> kinds;
  std::set<TaskId> tasks;
  std::string program, working_directory, tainted, cut_off;
  uint64_t events = 0, duration_ns = 0;
};

std::string kind(const EventBody& body) {
  if (std::holds_alternative<event::Switch>(body)) return "switch";
  if (std::holds_alternative<event::Exec>(body)) return "exec";
  if (std::holds_alternative<event::Taint>(body)) return "taint";
  if (std::holds_alternative<event::Released>(body)) return "released";
  return describe(body);
}

Contents read(const std::filesystem::path& path) {
  Contents contents;
  TraceReader trace(path);
  while (const auto event = trace.next()) {
    ++contents.events;
    ++contents.kinds[kind(event->body)];
    contents.tasks.insert(event->place.task);
    contents.duration_ns = event->time_ns;
    if (const auto* exec = std::get_if<event::Exec>(&event->body)) {
      contents.program = exec->path;
      contents.working_directory = exec->working_directory;
    } else if (const auto* taint = std::get_if<event::Taint>(&event->body);
               taint && contents.tainted.empty()) {
      contents.tainted = "from event " + std::to_string(event->number) + ": " + taint->reason;
    }
  }
  contents.cut_off = trace.cut_off();
  return contents;
}

void print(const Contents& contents) {
  field("program", contents.program);
  if (!contents.working_directory.empty()) field("in", contents.working_directory);
  field("took", report::duration(static_cast<double>(contents.duration_ns) / 1e9));
  field("tasks", grouped(contents.tasks.size()));
  field("tainted", contents.tainted.empty() ? "no" : contents.tainted);
  if (!contents.cut_off.empty()) field("cut off", contents.cut_off);
  field("events", grouped(contents.events));
  std::vector<std::pair<uint64_t, std::string>> ranked;
  for (const auto& [name, count] : contents.kinds) ranked.emplace_back(count, name);
  std::ranges::stable_sort(ranked, std::ranges::greater(),
                           &std::pair<uint64_t, std::string>::first);
  for (const auto& [count, name] : ranked)
    std::printf("  %10s %s\n", grouped(count).c_str(), printable(name).c_str());
}

int show_trace(const TraceLocation& location, const std::string& name) {
  const Contents contents = read(location.path);
  const auto catalog = location.trace ? open_catalog_to_read() : nullptr;
  const auto row = catalog ? catalog->find_trace(*location.trace) : std::nullopt;
  std::printf("%s\n", row ? ("t" + std::to_string(row->id)).c_str() : printable(name).c_str());
  field("trace", location.path.string());
  if (row) {
    field("command", row->command);
    field("recorded", local_time(row->recorded_at));
    field("ended", ended(*row));
    if (row->ticks) field("ticks", grouped(static_cast<uint64_t>(*row->ticks)));
    if (row->bytes) field("bytes", grouped(static_cast<uint64_t>(*row->bytes)));
  }
  print(contents);
  return 0;
}

int show_finding(const TraceLocation& location) {
  const Finding finding = read_finding(location.path);
  const auto catalog = location.finding ? open_catalog_to_read() : nullptr;
  const auto row = catalog ? catalog->find_finding(*location.finding) : std::nullopt;
  const std::string id = row ? "f" + std::to_string(row->id) : location.path.string();
  std::fputs(report::finding_text(finding, "heddle replay " + id, isatty(1)).c_str(), stdout);
  if (row)
    std::printf("seen      %s, first %s, last %s\n",
                counted(static_cast<uint64_t>(row->count), "time").c_str(),
                local_time(row->first_seen).c_str(), local_time(row->last_seen).c_str());
  std::printf("from      %s\ntrace     %s\n", printable(finding.origin).c_str(),
              printable(location.path.string()).c_str());
  return 0;
}

int show(const std::string& name) {
  try {
    const auto location = locate_trace(name);
    if (std::filesystem::exists(location.path / kFindingFile)) return show_finding(location);
    return show_trace(location, name);
  } catch (const NoSuchTrace& error) {
    std::fprintf(stderr, "heddle: %s\n", error.what());
    return 1;
  }
}

}  // namespace

void add_show(CLI::App& app, int& status) {
  auto name = std::make_shared<std::string>("latest");
  auto* verb = app.add_subcommand("show", "What there is to know about a trace or a finding");
  verb->add_option("id", *name, "An id (t1, f1, ...), a path or latest");
  verb->callback([name, &status] { status = or_one_line(2, [&] { return show(*name); }); });
}

}  // namespace heddle::cli
