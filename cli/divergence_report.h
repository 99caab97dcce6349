// What a person needs to follow up a divergence, beyond its first line.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "machine/stacks/unwinder.h"
#include "replayer/divergence.h"

namespace heddle::cli {

// One line a frame, innermost first.
void print_frames(std::FILE* out, const std::vector<Frame>& frames);

// Replays the trace at `directory` once more, up to the divergence, and prints to stderr: the
// mapping of an address that differs, the task's stack as it is and as its recorded registers say,
// and what to run next. `name` is what the user calls the trace.
void report_divergence(const Divergence& divergence, const std::filesystem::path& directory,
                       const std::string& name);

}  // namespace heddle::cli
