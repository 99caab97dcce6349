#include "recorder/outside_mappings.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace heddle {
namespace {

struct MapsLine {
  uint64_t start = 0;
  char protection[8] = {};
  std::string file;  // device and inode, as text
};

MapsLine parse(const std::string& line) {
  MapsLine out;
  char device[32] = {}, inode[32] = {};
  if (std::sscanf(line.c_str(), "%" SCNx64 "-%*x %7s %*x %31s %31s", &out.start, out.protection,
                  device, inode) == 4)
    out.file = std::string(device) + " " + inode;
  return out;
}

}  // namespace

bool written_by_others(const std::set<pid_t>& tree, pid_t pid, uint64_t start) {
  namespace fs = std::filesystem;
  std::string wanted, line;
  std::ifstream own("/proc/" + std::to_string(pid) + "/maps");
  while (std::getline(own, line))
    if (const auto parsed = parse(line); parsed.start == start) wanted = parsed.file;
  if (wanted.empty()) return false;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != name.npos || tree.contains(std::stoi(name)))
      continue;
    std::ifstream maps(entry.path() / "maps");
    while (std::getline(maps, line)) {
      const auto parsed = parse(line);
      if (parsed.file == wanted && std::strncmp(parsed.protection + 1, "w", 1) == 0 &&
          parsed.protection[3] == 's')
        return true;
    }
  }
  return false;
}

}  // namespace heddle
