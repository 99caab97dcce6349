#include "recorder/descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace heddle {

std::string descriptor_path(pid_t pid, int descriptor) {
  return "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(descriptor);
}

std::optional<struct stat> descriptor_status(pid_t pid, int descriptor) {
  struct stat info {};
  if (stat(descriptor_path(pid, descriptor).c_str(), &info) != 0) return std::nullopt;
  return info;
}

bool is_regular_file(pid_t pid, int descriptor) {
  const auto info = descriptor_status(pid, descriptor);
  return info && S_ISREG(info->st_mode);
}

DescriptorInfo descriptor_info(pid_t pid, int descriptor) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/fdinfo/" + std::to_string(descriptor));
  DescriptorInfo info;
  std::string name;
  if (in >> name >> info.position >> name >> std::oct >> info.flags) return info;
  return {};
}

std::optional<std::vector<uint8_t>> file_bytes(const std::string& path, uint64_t offset,
                                               uint64_t size) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  std::vector<uint8_t> bytes;
  auto at = static_cast<off_t>(offset);
  const off_t length = lseek(fd, 0, SEEK_END);
  const off_t end = std::min(
      length, static_cast<off_t>(std::min<uint64_t>(offset + size, static_cast<uint64_t>(length))));
  while (at < end) {
    const off_t data = lseek(fd, at, SEEK_DATA);
    if (data < 0 || data >= end) break;
    const off_t hole = std::min(lseek(fd, data, SEEK_HOLE), end);
    auto done = static_cast<size_t>(data) - offset;
    bytes.resize(static_cast<size_t>(hole) - offset);
    while (done < bytes.size()) {
      const ssize_t got =
          pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    at = hole;
  }
  close(fd);
  return bytes;
}

}  // namespace heddle
