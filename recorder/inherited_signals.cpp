#include "recorder/inherited_signals.h"

#include <fstream>
#include <string>

namespace heddle {

InheritedSignals inherited_signals(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  InheritedSignals found;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("SigBlk:")) found.blocked = std::stoull(line.substr(7), nullptr, 16);
    if (line.starts_with("SigIgn:")) found.ignored = std::stoull(line.substr(7), nullptr, 16);
  }
  return found;
}

}  // namespace heddle
