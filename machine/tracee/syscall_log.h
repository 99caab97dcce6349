// The log of system calls served in a process that is recorded, as the supervisor sees it.
#pragma once

#include <filesystem>
#include <span>

#include "machine/tracee/host_process.h"
#include "trace_format/syscall_log.h"

namespace heddle {

class SyscallLog {
 public:
  static constexpr uint64_t kSize = 0x8'0000;                        // bytes of the file
  static constexpr uint32_t kCapacity = kSize - sizeof(heddle_log);  // bytes of entries

  // Creates `file` with its space allocated and maps it, here and in the stopped process, which
  // must have been installed. Throws std::system_error.
  SyscallLog(HostProcess& process, const std::filesystem::path& file);
  ~SyscallLog();
  SyscallLog(const SyscallLog&) = delete;
  SyscallLog& operator=(const SyscallLog&) = delete;

  // Maps it in another process of the tree, which must have been installed. False where that may
  // not open it, having become another user's or changed its root: its calls cannot be served then.
  bool attach(HostProcess& process);

  // The committed entries, oldest first, one after another. Whoever may write to the log must be
  // stopped.
  std::span<const uint8_t> entries() const;
  // How many they are. Throws where one is damaged.
  uint64_t count();
  // Empties it; the next entry is going to be the event of that number.
  void clear(uint64_t first_event);

 private:
  std::filesystem::path path_;
  heddle_log* log_ = nullptr;
  uint32_t counted_bytes_ = 0;  // of entries that have been counted
  uint64_t counted_ = 0;
};

}  // namespace heddle
