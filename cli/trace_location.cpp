#include "cli/trace_location.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

#include "cli/catalog_location.h"

namespace heddle::cli {

namespace fs = std::filesystem;

namespace {

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

[[noreturn]] void gone(const std::string& name, const fs::path& path) {
  throw NoSuchTrace(name + ": the catalog has it at " + path.string() +
                    ", but it is not there any more");
}

// What the catalog says about a name; nothing where it does not know it.
std::optional<TraceLocation> known(Catalog& catalog, const std::string& name) {
  if (const auto id = numbered(name, 't')) {
    if (const auto row = catalog.find_trace(*id)) {
      if (!is_there(row->path)) gone(name, row->path);
      return TraceLocation{row->path, row->id, {}};
    }
  } else if (const auto finding = numbered(name, 'f')) {
    if (const auto row = catalog.find_finding(*finding)) {
      if (!is_there(row->path)) gone(name, row->path);
      return TraceLocation{row->path, {}, row->id};
    }
  } else if (name == "latest") {
    for (const auto& row : catalog.traces())
      if (is_there(row.path)) return TraceLocation{row.path, row.id, {}};
  }
  return std::nullopt;
}

TraceLocation with_ids(Catalog* catalog, const fs::path& path) {
  TraceLocation location{path, {}, {}};
  if (!catalog) return location;
  if (const auto row = catalog->find_trace(path))
    location.trace = row->id;
  else if (const auto finding = catalog->find_finding(path))
    location.finding = finding->id;
  return location;
}

}  // namespace

fs::path trace_store() {
  if (const char* store = std::getenv("HEDDLE_TRACE_DIR"); store && *store) return store;
  if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data)
    return fs::path(data) / "heddle/traces";
  const char* home = std::getenv("HOME");
  if (!home || !*home)
    throw std::runtime_error("no place for traces: set HEDDLE_TRACE_DIR, or HOME, or give -o DIR");
  return fs::path(home) / ".local/share/heddle/traces";
}

fs::path translation_store() {
  fs::path directory;
  if (const char* given = std::getenv("HEDDLE_TRANSLATIONS")) {
    directory = given;
  } else if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) {
    directory = fs::path(cache) / "heddle/translations";
  } else if (const char* home = std::getenv("HOME"); home && *home) {
    directory = fs::path(home) / ".cache/heddle/translations";
  }
  std::error_code error;
  if (!directory.empty()) fs::create_directories(directory, error);
  return error ? fs::path() : directory;
}

std::optional<int64_t> numbered(const std::string& name, char letter) {
  int64_t number = 0;
  if (name.size() < 2 || name[0] != letter) return std::nullopt;
  const auto end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + 1, end, number);
  if (error != std::errc() || rest != end || number < 1) return std::nullopt;
  return number;
}

int64_t next_number(const fs::path& store, char letter) {
  int64_t highest = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(store, none))
    highest = std::max(highest, numbered(entry.path().filename(), letter).value_or(0));
  return highest + 1;
}

bool claim_directory(const fs::path& directory) {
  fs::create_directories(directory.parent_path());
  if (mkdir(directory.c_str(), 0700) == 0) return true;
  if (errno == EEXIST) return false;
  throw std::system_error(errno, std::generic_category(),
                          "creating the trace directory " + directory.string());
}

void point_latest(const fs::path& store, const fs::path& trace) {
  fs::create_directories(store);
  const bool inside = fs::weakly_canonical(trace).parent_path() == fs::weakly_canonical(store);
  const fs::path target = inside ? trace.filename() : fs::absolute(trace);
  // Renamed into place, so that there is one at any time.
  const fs::path fresh = store / (".latest." + std::to_string(getpid()));
  std::error_code ignored;
  fs::remove(fresh, ignored);
  fs::create_directory_symlink(target, fresh);
  fs::rename(fresh, store / "latest");
}

std::optional<fs::path> path_without_catalog(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const fs::path stored = trace_store() / name;
  if (name == "latest" && is_there(stored)) return fs::canonical(stored);
  return std::nullopt;
}

TraceLocation locate_trace(const std::string& name) {
  std::unique_ptr<Catalog> catalog;
  std::string refused;
  try {
    catalog = open_catalog_to_read();
    // The store's own link comes first: it is of this store, whichever catalogs know of it.
    const bool path_like = name.find('/') != name.npos || name == "latest";
    if (catalog && !path_like)
      if (const auto location = known(*catalog, name)) return *location;
  } catch (const CatalogError& error) {
    refused = error.what();
    catalog.reset();
  }
  if (name.find('/') != name.npos) return with_ids(catalog.get(), name);
  const fs::path stored = trace_store() / name;
  if (is_there(stored)) return with_ids(catalog.get(), fs::canonical(stored));
  if (catalog && name == "latest")
    if (const auto location = known(*catalog, name)) return *location;
  if (is_there(fs::path(name) / "events")) return with_ids(catalog.get(), name);
  throw NoSuchTrace("no trace '" + name + "' in " + trace_store().string() +
                    (refused.empty() ? " (heddle record makes one, heddle list shows them)"
                                     : " and no catalog: " + refused));
}

}  // namespace heddle::cli
