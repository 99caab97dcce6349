// When a trace was recorded and how it ended, in a few words.
#pragma once

#include <string>

#include "trace_format/catalog/catalog.h"

namespace heddle::cli {

// "2026-03-01 14:05:59", in the user's time zone.
std::string local_time(UnixMilliseconds at);

// "exit 0", "signal 6", or "unfinished": it is being recorded, or its recorder was killed.
std::string ended(const TraceRow& trace);

}  // namespace heddle::cli
