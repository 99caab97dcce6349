// What the guest maps shared: files, segments, anonymous memory. Each object is a memfd, so that
// all its mappings, in all processes of the tree, see each other's stores, as when recorded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>

#include "machine/tracee/host_process.h"
#include "trace_format/event.h"

namespace heddle {

// One for a tree of processes. Throws std::system_error where the system refuses.
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
  // The object was written by other means than its mappings.
  void update(const FileRange& file, std::span<const uint8_t> bytes);

  // Writes through the object to memory that its mapping does not let be written. False: no object
  // is mapped there.
  bool write(const HostProcess& process, uint64_t address, std::span<const uint8_t> bytes) const;

  // Copies of all objects, which `child`, forked from a process that maps these, maps instead.
  std::shared_ptr<SharedObjects> separate(HostProcess& child) const;

 private:
  class Object;
  Object& object(uint64_t number);

  std::map<uint64_t, std::shared_ptr<Object>> objects_;  // the trace's numbers, then kAnonymous on
  static constexpr uint64_t kAnonymous = uint64_t{1} << 32;
};

}  // namespace heddle
