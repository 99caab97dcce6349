#include <algorithm>
#include <cstdio>

#include "cli/catalog_json.h"
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
  nlohmann::ordered_json json;
};

Entry entry_of(const TraceRow& trace) {
  std::string how = ended(trace);
  if (trace.tainted) how += ", tainted";
  return {trace.recorded_at, "t" + std::to_string(trace.id), how, trace.command, trace.path,
          json_of(trace)};
}

Entry entry_of(const FindingRow& finding) {
  std::string what = finding.title;
  if (finding.trace) what += " (from t" + std::to_string(*finding.trace) + ")";
  return {finding.last_seen, "f" + std::to_string(finding.id), finding.verdict, what, finding.path,
          json_of(finding)};
}

// Newest first.
std::vector<Entry> entries() {
  std::vector<Entry> all;
  if (const auto catalog = open_catalog_to_read()) {
    for (const auto& trace : catalog->traces()) all.push_back(entry_of(trace));
    for (const auto& finding : catalog->findings()) all.push_back(entry_of(finding));
  }
  std::ranges::stable_sort(all, std::ranges::greater(), &Entry::at);
  return all;
}

int list_json() {
  auto all = nlohmann::ordered_json::array();
  for (auto& entry : entries()) all.push_back(std::move(entry.json));
  print_json(all);
  return 0;
}

int list(bool gone_too) {
  const auto all = entries();
  size_t gone = 0;
  if (all.empty()) {
    std::printf("nothing is recorded yet: heddle record -- PROGRAM ARGUMENTS...\n");
    return 0;
  }
  Table table{{{"id"}, {"when"}, {"how"}, {"what"}}, {}};
  for (const auto& e : all) {
    std::error_code ignored;
    const bool there = std::filesystem::exists(e.path, ignored);
    gone += !there;
    if (!there && !gone_too) continue;
    table.rows.push_back(
        {e.id, local_time(e.at), e.how + (there ? "" : ", its directory is gone"), e.what});
  }
  if (!table.rows.empty()) print(table, stdout);
  if (gone > 0 && !gone_too)
    std::printf("(%zu more whose directories are gone: --all; heddle remove --gone forgets them)\n",
                gone);
  return 0;
}

}  // namespace

void add_list(CLI::App& app, int& status) {
  auto json = std::make_shared<bool>(false);
  auto all = std::make_shared<bool>(false);
  auto* verb = app.add_subcommand("list", "Traces and findings, newest first");
  verb->add_flag("--json", *json, "An array of one object each, of all");
  verb->add_flag("--all", *all, "Those whose directories are gone, too");
  verb->callback([json, all, &status] {
    status = or_one_line(2, [&] { return *json ? list_json() : list(*all); });
  });
}

}  // namespace heddle::cli
