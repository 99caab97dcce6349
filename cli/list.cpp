#include <algorithm>
#include <cstdio>

#include "cli/catalog_location.h"
#include "cli/rows.h"
#include "cli/verbs.h"
#include "cli/when.h"

namespace heddle::cli {
namespace {

struct Entry {
  UnixMilliseconds at = 0;
  std::string id, how, what;
  std::filesystem::path path;
};

Entry entry_of(const TraceRow& trace) {
  std::string how = ended(trace);
  if (trace.tainted) how += ", tainted";
  return {trace.recorded_at, "t" + std::to_string(trace.id), how, trace.command, trace.path};
}

Entry entry_of(const FindingRow& finding) {
  std::string what = finding.title;
  if (finding.trace) what += " (from t" + std::to_string(*finding.trace) + ")";
  return {finding.last_seen, "f" + std::to_string(finding.id), finding.verdict, what, finding.path};
}

int list() {
  std::vector<Entry> entries;
  if (const auto catalog = open_catalog_to_read()) {
    for (const auto& trace : catalog->traces()) entries.push_back(entry_of(trace));
    for (const auto& finding : catalog->findings()) entries.push_back(entry_of(finding));
  }
  if (entries.empty()) {
    std::printf("nothing is recorded yet: heddle record -- PROGRAM ARGUMENTS...\n");
    return 0;
  }
  std::ranges::stable_sort(entries, std::ranges::greater(), &Entry::at);
  Table table{{{"id"}, {"when"}, {"how"}, {"what"}}, {}};
  for (auto& e : entries) {
    std::error_code ignored;
    if (!std::filesystem::exists(e.path, ignored)) e.how += ", its directory is gone";
    table.rows.push_back({e.id, local_time(e.at), e.how, e.what});
  }
  print(table, stdout);
  return 0;
}

}  // namespace

void add_list(CLI::App& app, int& status) {
  auto* verb = app.add_subcommand("list", "Traces and findings, newest first");
  verb->callback([&status] { status = or_one_line(2, list); });
}

}  // namespace heddle::cli
