// Guest memory of a live process, through /proc/PID/mem.
#pragma once

#include <sys/types.h>

#include <optional>
#include <set>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/tracee/watched_code.h"
#include "trace_format/event.h"

namespace heddle {

// One line of /proc/PID/maps.
struct MapsEntry {
  uint64_t start = 0, end = 0;
  uint32_t prot = 0;  // PROT_*
  bool shared = false;
  uint64_t offset = 0;
  uint64_t device = 0;  // major and minor number: equal for equal devices
  uint64_t inode = 0;
  std::string path;
};
std::vector<MapsEntry> read_maps(pid_t pid);

// Bound to the address space that the process had when this was made: make another after execve.
class ProcessMemory final : public GuestMemory {
 public:
  // Throws std::system_error where /proc/PID/mem cannot be opened.
  explicit ProcessMemory(pid_t pid);
  ~ProcessMemory() override;
  ProcessMemory(ProcessMemory&& other) noexcept;
  ProcessMemory& operator=(ProcessMemory&& other) noexcept;

  size_t read(uint64_t address, std::span<uint8_t> out) const override;
  bool write(uint64_t address, std::span<const uint8_t> bytes) override;
  bool executable(uint64_t address, uint64_t epoch) const override;
  bool writable_code(uint64_t address) const override;
  bool known_constant_code(uint64_t address, uint64_t epoch) const override {
    return epoch == epoch_ && !writable_code(address);
  }
  bool has_unwatched_code() const override { return !unwatched_.empty(); }
  bool write_as_guest(uint64_t address, std::span<const uint8_t> bytes) override;

  // The mappings with the protections that the guest gave them.
  std::vector<MapsEntry> maps() const;
  // The guest mapped, unmapped or protected this: what is known of it may be wrong.
  // Gives whether that was code.
  bool mappings_changed(uint64_t start, uint64_t size);
  // After a fork: what is watched, and what was written, is that of the parent.
  void inherit(const ProcessMemory& parent) {
    watched_ = parent.watched_;
    written_ = parent.written_;
  }

  WatchedCode& watched() { return watched_; }
  const WatchedCode& watched() const { return watched_; }
  // Pages that executable() was asked for since the last time, that the guest may write and that
  // are not watched yet.
  std::set<uint64_t> take_unwatched() { return std::exchange(unwatched_, {}); }
  // Pages whose code was changed by write() and write_as_guest() since the last time.
  std::set<uint64_t> take_written() { return std::exchange(written_, {}); }

 private:
  void read_executable() const;
  const MapsEntry* executable_at(uint64_t address) const;
  void note_write(uint64_t address, uint64_t size);

  int fd_ = -1;
  pid_t pid_ = 0;
  mutable std::vector<MapsEntry> executable_;  // by address
  mutable uint64_t epoch_ = 0;                 // of executable_; 0: not read yet
  mutable std::set<uint64_t> unwatched_;
  std::set<uint64_t> written_;
  WatchedCode watched_;
};

}  // namespace heddle
