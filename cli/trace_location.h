// Where traces are kept, and how a user names one.
#pragma once

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

#include "trace_format/catalog/catalog.h"

namespace heddle::cli {

// HEDDLE_TRACE_DIR, or $XDG_DATA_HOME/heddle/traces, or ~/.local/share/heddle/traces.
std::filesystem::path trace_store();

// The number that follows the highest of `letter` and a number in the store: 8 where t7 is the
// last. 1 where the store does not exist.
int64_t next_number(const std::filesystem::path& store, char letter);

// Makes a directory that did not exist (mode 0700); false where it did.
bool claim_directory(const std::filesystem::path& directory);

// Makes `latest` in the store name the trace, wherever it is.
void point_latest(const std::filesystem::path& store, const std::filesystem::path& trace);

// Where translations are kept between runs; empty where they are not. See docs/architecture.md.
std::filesystem::path translation_store();

// A name that neither the catalog nor the store knows, or whose directory is gone. The text says
// where was looked.
class NoSuchTrace : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct TraceLocation {
  std::filesystem::path path;
  // As the catalog knows it; neither where it does not.
  std::optional<TraceId> trace;
  std::optional<FindingId> finding;
};

// A path, an id (t1, f1, ...) or "latest". Throws NoSuchTrace; a path is not looked at.
TraceLocation locate_trace(const std::string& name);
inline std::filesystem::path find_trace(const std::string& name) {
  return locate_trace(name).path;
}

// Where the trace of a name is, if the name or the store says so, without the catalog: of a path or
// "latest".
std::optional<std::filesystem::path> path_without_catalog(const std::string& name);

// 12 of "t12"; nothing where `name` is not `letter` and a number.
std::optional<int64_t> numbered(const std::string& name, char letter);

}  // namespace heddle::cli
