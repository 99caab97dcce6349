#include "cli/trace_location.h"

#include <cstdlib>
#include <stdexcept>

namespace heddle::cli {

namespace fs = std::filesystem;

fs::path trace_store() {
  if (const char* store = std::getenv("HEDDLE_TRACE_DIR"); store && *store) return store;
  if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data)
    return fs::path(data) / "heddle/traces";
  const char* home = std::getenv("HOME");
  if (!home || !*home)
    throw std::runtime_error("no place for traces: set HEDDLE_TRACE_DIR, or HOME, or give -o DIR");
  return fs::path(home) / ".local/share/heddle/traces";
}

fs::path new_trace(const fs::path& store) {
  fs::create_directories(store);
  unsigned long highest = 0;
  for (const auto& entry : fs::directory_iterator(store)) {
    const std::string name = entry.path().filename();
    if (name.size() > 1 && name[0] == 't' && name.find_first_not_of("0123456789", 1) == name.npos)
      highest = std::max(highest, std::stoul(name.substr(1)));
  }
  return store / ("t" + std::to_string(highest + 1));
}

void point_latest(const fs::path& trace) {
  const fs::path link = trace.parent_path() / "latest", fresh = trace.parent_path() / ".latest";
  std::error_code ignored;
  fs::remove(fresh, ignored);
  fs::create_directory_symlink(trace.filename(), fresh);
  fs::rename(fresh, link);
}

fs::path find_trace(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const fs::path stored = trace_store() / name;
  if (fs::exists(stored)) return stored;
  if (fs::exists(fs::path(name) / "events")) return name;
  throw std::runtime_error("no trace '" + name + "' in " + trace_store().string() +
                           " (heddle record makes one)");
}

}  // namespace heddle::cli
