// Guest memory of a live process, through /proc/PID/mem.
#pragma once

#include <sys/types.h>

#include <vector>

#include "machine/guest_memory.h"
#include "trace_format/event.h"

namespace heddle {

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
  bool write_as_guest(uint64_t address, std::span<const uint8_t> bytes) override;

 private:
  struct Range {
    uint64_t start, end;
    bool writable;
  };
  void read_executable() const;

  int fd_ = -1;
  pid_t pid_ = 0;
  mutable std::vector<Range> executable_;  // by address
  mutable uint64_t epoch_ = 0;             // of executable_; 0: not read yet
};

// One line of /proc/PID/maps.
struct MapsEntry {
  uint64_t start = 0, end = 0;
  uint32_t prot = 0;  // PROT_*
  bool shared = false;
  uint64_t offset = 0;
  uint64_t inode = 0;
  std::string path;
};
std::vector<MapsEntry> read_maps(pid_t pid);

}  // namespace heddle
