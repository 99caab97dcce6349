// The log of system calls served in a process that is recorded, as the supervisor sees it.
#pragma once

#include <filesystem>
#include <span>

#include "machine/tracee/host_process.h"
#include "trace_format/syscall_log.h"

namespace heddle {

class SyscallLog {
 public:
  static constexpr uint64_t kSize = HEDDLE_LOG_SIZE;                 // bytes of each of two
  static constexpr uint32_t kCapacity = kSize - sizeof(heddle_log);  // bytes of its entries

  // Creates `file` with its space allocated and maps it, here and in the stopped process, which
  // must have been installed. Throws std::system_error.
  SyscallLog(HostProcess& process, const std::filesystem::path& file);
  ~SyscallLog();
  SyscallLog(const SyscallLog&) = delete;
  SyscallLog& operator=(const SyscallLog&) = delete;

  // Maps it in another process of the tree, which must have been installed. False where that may
  // not open it, having become another user's or changed its root: its calls cannot be served then.
  bool attach(HostProcess& process);

  // The committed entries of the log in use, oldest first, one after another. Whoever may write to
  // it must be stopped.
  std::span<const uint8_t> entries() const;
  // How many they are, as the runtime says.
  uint64_t count() const { return log_->calls; }
  // The entries since the last call of this, where there are some among them whose call changed
  // what the supervisor keeps (HEDDLE_EFFECT_TAKEN); otherwise none.
  std::span<const uint8_t> changes();
  // Empties it; the next entry is going to be the event of that number.
  void clear(uint64_t first_event);
  // The other log is in use from now on, and empty. Its entries must be in the trace. The thread of
  // that process is stopped.
  void turn(uint64_t first_event, HostProcess& process, HostThread& by);

 private:
  std::filesystem::path path_;
  heddle_log* first_ = nullptr;
  heddle_log* log_ = nullptr;  // the one in use
  bool turned_ = false;
  uint64_t changes_ = 0;  // entries that changes() has given...
  size_t followed_ = 0;   // ... and where it will go on
};

}  // namespace heddle
