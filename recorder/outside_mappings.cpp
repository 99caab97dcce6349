#include "recorder/outside_mappings.h"

#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <csignal>
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

// Quickly: the kernel gives a read lease only where nobody has the file open for writing, as every
// mapping that can be written has it (fcntl(2)). False also where leases are refused.
bool without_writers(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  // Who opens it meanwhile waits for us; the signal that says so is one that nobody minds.
  const bool leased = fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0;
  close(fd);
  return leased;
}

}  // namespace

bool written_by_others(const std::set<pid_t>& tree, pid_t pid, uint64_t start,
                       const std::string& file) {
  namespace fs = std::filesystem;
  if (without_writers(file)) return false;
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

size_t attachments(const std::set<pid_t>& processes, int segment) {
  // Segments are files of the kernel's own, of the name SYSV and the key, whose inode is the
  // number.
  const std::string inode = " " + std::to_string(segment);
  size_t count = 0;
  for (const pid_t pid : processes) {
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    for (std::string line; std::getline(maps, line);)
      count += line.find(" /SYSV") != line.npos && parse(line).file.ends_with(inode);
  }
  return count;
}

}  // namespace heddle
