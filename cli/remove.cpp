#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "cli/catalog_location.h"
#include "cli/trace_location.h"
#include "cli/verbs.h"
#include "trace_format/file_store.h"

namespace heddle::cli {
namespace {

namespace fs = std::filesystem;

// The directory first: where that fails or is cut short, the catalog still knows of it.
void remove_one(const std::string& name, Catalog* catalog) {
  const auto location = locate_trace(name);
  if (!fs::exists(location.path / "events"))
    throw std::runtime_error(location.path.string() + " is not a trace; nothing is removed");
  fs::remove_all(location.path);
  if (!catalog) return;
  if (location.trace) catalog->remove_trace(*location.trace);
  if (location.finding) catalog->remove_finding(*location.finding);
}

size_t forget_gone(Catalog& catalog) {
  size_t forgotten = 0;
  for (const auto& trace : catalog.traces())
    if (!fs::exists(trace.path)) {
      catalog.remove_trace(trace.id);
      ++forgotten;
    }
  for (const auto& finding : catalog.findings())
    if (!fs::exists(finding.path)) {
      catalog.remove_finding(finding.id);
      ++forgotten;
    }
  return forgotten;
}

int remove(const std::vector<std::string>& names, bool gone) {
  if (names.empty() && !gone)
    throw std::runtime_error("nothing to remove: give ids or paths, or --gone");
  std::unique_ptr<Catalog> catalog;
  if (fs::exists(catalog_path()))
    catalog = std::make_unique<Catalog>(catalog_path(), Database::Mode::read_write);
  // All are looked up before one is removed.
  for (const auto& name : names) locate_trace(name);
  for (const auto& name : names) remove_one(name, catalog.get());
  if (gone && catalog)
    std::printf("forgotten: %zu whose directories are gone\n", forget_gone(*catalog));
  if (const uint64_t freed = remove_unused_files(trace_store() / ".files"); freed > 0)
    std::printf("removed %lu bytes of files that no trace uses any more\n",
                static_cast<unsigned long>(freed));
  return 0;
}

}  // namespace

void add_remove(CLI::App& app, int& status) {
  auto names = std::make_shared<std::vector<std::string>>();
  auto gone = std::make_shared<bool>(false);
  auto* verb =
      app.add_subcommand("remove", "Remove traces and findings, and files that only they used");
  verb->add_option("id", *names, "Ids (t1, f1, ...) or paths");
  verb->add_flag("--gone", *gone, "Forget those whose directories are gone");
  verb->footer("Exit status: 0 done, 2 could not.");
  verb->callback(
      [names, gone, &status] { status = or_one_line(2, [&] { return remove(*names, *gone); }); });
}

}  // namespace heddle::cli
