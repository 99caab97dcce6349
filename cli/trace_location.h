// Where traces are kept, and how a user names one.
#pragma once

#include <filesystem>
#include <string>

namespace heddle::cli {

// HEDDLE_TRACE_DIR, or $XDG_DATA_HOME/heddle/traces, or ~/.local/share/heddle/traces.
std::filesystem::path trace_store();

// A directory for a new trace there: "t7", one more than the highest.
std::filesystem::path new_trace(const std::filesystem::path& store);

// Makes `latest` in the trace's parent directory name it.
void point_latest(const std::filesystem::path& trace);

// A path, an id (t1, t2, ...) or "latest". Throws std::runtime_error naming what was looked for.
std::filesystem::path find_trace(const std::string& name);

}  // namespace heddle::cli
