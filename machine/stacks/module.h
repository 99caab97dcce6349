// A file that the guest mapped.
#pragma once

#include <cstdint>
#include <filesystem>

namespace heddle {

// `base` is the guest address of the file's first byte.
struct Module {
  uint64_t base = 0;
  std::filesystem::path file;
};

}  // namespace heddle
