// A module's .debug_frame, ready to be read as if it were .eh_frame.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "machine/stacks/elf_image.h"

namespace heddle {

// The two formats differ in how an entry names its CIE, and .debug_frame has linked addresses where
// .eh_frame has none or relative ones (DWARF 5, section 6.4.1; LSB Core, section 10.6.1). The copy
// here has .eh_frame's form and guest addresses.
class DebugFrameTable {
 public:
  explicit DebugFrameTable(const ElfImage& image);

  // Offset in bytes() of the FDE that describes the code at `pc`.
  std::optional<uint64_t> find(uint64_t pc) const;
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  struct Entry {
    uint64_t start = 0;  // guest address
    uint64_t size = 0;
    uint64_t offset = 0;
  };
  std::vector<uint8_t> bytes_;
  std::vector<Entry> entries_;  // by address
};

}  // namespace heddle
