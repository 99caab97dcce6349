// What the guest maps shared: files, segments, anonymous memory. Each object is a memfd of the
// guest's process, so that all its mappings see each other's stores, as they did when recorded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>

#include "machine/tracee/host_process.h"
#include "trace_format/event.h"

namespace heddle {

// Its state but the numbers is the process's; throws std::system_error where that refuses.
class SharedObjects {
 public:
  // Maps file.object at `address` as mmap with these arguments does, after taking over what the
  // trace knows of it; `contents` is where file.content is, empty if it has none. Returns mmap's
  // result.
  int64_t map(HostProcess& process, const FileRange& file, const std::filesystem::path& contents,
              uint64_t address, uint64_t size, uint64_t prot, uint64_t flags);
  // The same for anonymous memory: an object of its own.
  int64_t map_anonymous(HostProcess& process, uint64_t address, uint64_t size, uint64_t prot,
                        uint64_t flags);
  void resize(HostProcess& process, uint32_t object, uint64_t size);

  // Writes through the object to memory that its mapping does not let be written. False: no object
  // is mapped there.
  bool write(const HostProcess& process, uint64_t address, std::span<const uint8_t> bytes) const;

  // `child` was forked from the process that these were of: gives it objects of its own.
  void separate(HostProcess& child);

 private:
  struct Object {
    uint64_t descriptor = 0;  // in the guest's process
    uint64_t inode = 0;       // of the memfd
  };
  Object make(HostProcess& process);

  std::map<uint64_t, Object> objects_;  // by the trace's number, or from kAnonymous on
  static constexpr uint64_t kAnonymous = uint64_t{1} << 32;
};

}  // namespace heddle
