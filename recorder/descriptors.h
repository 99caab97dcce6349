// What the recorder asks the system about a descriptor of the program's.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace heddle {

// "/proc/PID/fd/N", which opens the same file whatever its name.
std::string descriptor_path(pid_t pid, int descriptor);

std::optional<struct stat> descriptor_status(pid_t pid, int descriptor);
bool is_regular_file(pid_t pid, int descriptor);

struct DescriptorInfo {
  uint64_t position = 0;
  int flags = 0;  // O_*
};
// Zeros where the descriptor is not open.
DescriptorInfo descriptor_info(pid_t pid, int descriptor);

// The bytes [offset, offset + size) of the file at `path`, as far as it goes, without the zeros of
// a hole at their end. Nothing where it cannot be read.
std::optional<std::vector<uint8_t>> file_bytes(const std::string& path, uint64_t offset,
                                               uint64_t size);

}  // namespace heddle
