// Which files show in an address space, and where: a write to such a file is a write to memory.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "machine/syscalls/table.h"

namespace heddle {

// As stat(2) names a file; the same for every descriptor and path of it.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  auto operator<=>(const FileIdentity&) const = default;
};

class MappedFiles {
 public:
  struct View {
    uint64_t size = 0;  // bytes
    FileIdentity file;
    uint64_t offset = 0;  // in the file
    bool shared = false;
  };

  // What mmap, munmap and mremap do. `add` replaces what was there.
  void add(uint64_t start, const View& view);
  void remove(uint64_t start, uint64_t size);
  void move(uint64_t start, uint64_t size, uint64_t new_start, uint64_t new_size);

  bool shows(const FileIdentity& file) const;
  // The view that starts there.
  std::optional<View> at(uint64_t start) const;
  // The memory that shows [offset, offset + size) of the file; `privately`: only where it is mapped
  // privately.
  std::vector<MemoryRange> showing(const FileIdentity& file, uint64_t offset, uint64_t size,
                                   bool privately = false) const;

 private:
  std::map<uint64_t, View> views_;  // by start
};

// The numbers of files that were ever mapped shared, in all of the tree.
class SharedNumbers {
 public:
  // 0 if it never was.
  uint32_t of(const FileIdentity& file) const;
  uint32_t give(const FileIdentity& file);

 private:
  std::map<FileIdentity, uint32_t> numbers_;
};

}  // namespace heddle
