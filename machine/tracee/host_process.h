// A process that the machine runs a guest in: started under ptrace, with the machine's own memory
// placed in it (machine/tracee/layout.h).
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "machine/tracee/host_thread.h"
#include "machine/tracee/launch.h"
#include "machine/tracee/layout.h"
#include "machine/tracee/process_memory.h"
#include "machine/tracee/shared_code.h"
#include "trace_format/place.h"
#include "trace_format/registers.h"

namespace heddle {

// A system call to be made in a process, and its result.
struct RemoteCall {
  uint64_t number = 0;
  std::array<uint64_t, 6> arguments{};
  int64_t result = 0;  // negative errno on failure
};

class HostProcess {
 public:
  // With its first thread stopped at its entry point, nothing executed. Throws ExecFailed.
  static HostProcess start(Launch launch);
  static HostProcess start(const Program& program) { return start(Launch(program)); }

  // Starts a process with an address space that is empty but for the machine's memory; its thread
  // is stopped. For replay.
  static HostProcess start_empty();

  // The process of `child`, which a thread of `parent` has just made by fork: stopped, with copies
  // of all that the parent has; it shares the parent's code.
  static HostProcess adopt(HostThread child, const HostProcess& parent);

  // The process of `thread`, which stands at PTRACE_EVENT_EXEC: as start() returns it.
  static HostProcess after_exec(HostThread thread);

  // Did the kernel place the program at random (see fixed_addresses.h)?
  bool random_addresses() const { return random_addresses_; }

  HostThread& thread() { return thread_; }
  pid_t pid() const { return thread_.tid(); }
  ProcessMemory& memory() { return *memory_; }
  const ProcessMemory& memory() const { return *memory_; }
  std::shared_ptr<const ProcessMemory> shared_memory() const { return memory_; }

  // Places the machine's memory, the runtime's code included; the vDSO is hidden. Once after
  // start().
  void install();
  std::shared_ptr<SharedCode> shared_code() const { return code_; }
  // Puts code of its own in the place of what it shares with others, with the same contents up to
  // the addresses in `used`. The stopped thread `by` makes the calls.
  std::shared_ptr<SharedCode> make_code_private(
      HostThread& by, const std::array<uint64_t, layout::kArenas.size()>& used);
  // Likewise, with no translations in it.
  std::shared_ptr<SharedCode> renew_code(HostThread& by);

  // Write-protects these pages, whose code was translated and which the guest can write: see
  // WatchedCode. The stopped thread `by` makes the calls, here and below.
  void watch_code(HostThread& by, const std::set<uint64_t>& pages);
  // Lets the guest, or the kernel on its behalf, write to [start, start+size) where it may. Gives
  // the pages whose translations must go.
  std::set<uint64_t> let_write(HostThread& by, uint64_t start, uint64_t size);
  // The guest mapped, unmapped or protected [start, start+size): it is watched no more, and not for
  // the runtime to change. Gives the pages elsewhere whose translations must go.
  std::set<uint64_t> mapping_changed(uint64_t start, uint64_t size);
  // From now on the guest's mappings are executable without being asked to (READ_IMPLIES_EXEC): the
  // runtime maps nothing more.
  void serve_no_mappings();
  // Memory at each of `places` that both can map: its file, of `size` bytes and empty, which is the
  // caller's.
  int share_file(HostThread& by, std::span<const uint64_t> places, uint64_t size,
                 uint64_t guest_prot);

  // Runs a system call in the stopped thread `by` and gives its result; the thread's registers are
  // as before. Needs install() (or a place to execute from: see cpp).
  int64_t remote_syscall(HostThread& by, uint64_t number, std::array<uint64_t, 6> arguments);
  int64_t remote_syscall(uint64_t number, std::array<uint64_t, 6> arguments) {
    return remote_syscall(thread_, number, arguments);
  }
  // The same of many, one after another, in one stop; whatever their results are.
  void remote_syscalls(HostThread& by, std::span<RemoteCall> calls);
  // Shows that much of a file of translations at the beginning of each arena's code, from those
  // offsets (multiples of the page size) on; false where the process may not open it, or finds
  // another file there than `fd`. Before anything is translated or forked.
  struct FilePart {
    uint64_t offset = 0, size = 0;  // bytes
  };
  bool map_translations(const std::string& file, int fd,
                        const std::array<FilePart, layout::kArenas.size()>& parts);

  // A string or structure for a remote call's argument, in memory of ours; valid until the next.
  uint64_t stage(std::span<const uint8_t> bytes);
  uint64_t stage(const std::string& text);

  // A copy of the process by fork, stopped like this one; shares the code.
  HostProcess fork_checkpoint();

  // Ends it at once and reaps it.
  void kill();

  // Address of "syscall; int3" in the process.
  static constexpr uint64_t kSyscallInstruction = layout::kRuntimeText.start;
  static constexpr uint64_t kAfterSyscall = kSyscallInstruction + 2;  // the int3
  // An int3 that the runtime can be made to return to from a call that it serves.
  static constexpr uint64_t kServedStop = kSyscallInstruction + 0x10;

  static uint64_t task_state(TaskId task) {
    return layout::kTaskStates.start + (task % layout::kMaxTasks) * layout::kTaskStateStride;
  }

 private:
  void forget_plain(uint64_t start, uint64_t size);
  struct SharedFile {
    int fd = -1;          // the caller's
    uint64_t remote = 0;  // in the process, to be closed
  };
  SharedFile make_shared_file(HostThread& by, uint64_t size);
  void make(HostThread& by, std::span<RemoteCall> calls);  // none of them may fail
  // Runs a stopped thread until it stops at `end`.
  user_regs_struct run_remote(HostThread& by, user_regs_struct regs, uint64_t end);
  void share_code(HostThread& by, SharedCode& code);
  // Maps the code where it belongs, from that descriptor of the process, which is closed.
  void place_code(HostThread& by, SharedCode& code, uint64_t remote);

  HostThread thread_;
  std::shared_ptr<ProcessMemory> memory_;
  std::shared_ptr<SharedCode> code_;
  bool random_addresses_ = false;
  uint64_t shared_ = 0;      // until install(): descriptor of code_
  uint64_t syscall_at_ = 0;  // where a syscall instruction can be executed
};

}  // namespace heddle
