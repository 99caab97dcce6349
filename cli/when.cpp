#include "cli/when.h"

#include <ctime>

namespace heddle::cli {

std::string local_time(UnixMilliseconds at) {
  const auto seconds = static_cast<time_t>(at / 1000);
  tm parts{};
  localtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts)};
}

std::string ended(const TraceRow& trace) {
  if (trace.signal) return "signal " + std::to_string(*trace.signal);
  if (trace.exit_code) return "exit " + std::to_string(*trace.exit_code);
  return "unfinished";
}

}  // namespace heddle::cli
