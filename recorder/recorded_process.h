// What the recorder knows of a process of the tree.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "machine/syscalls/redirection.h"
#include "machine/tracee/code_cache.h"
#include "machine/tracee/guest_cpu.h"
#include "machine/tracee/host_process.h"
#include "machine/tracee/signal_state.h"
#include "recorder/mapped_files.h"

namespace heddle {

// An address space; a process that was made by vfork shares its parent's until it calls execve.
struct RecordedSpace {
  HostProcess process;
  std::shared_ptr<CodeCache> cache;  // shared with forks whose code is the same
  std::set<TaskId> slots;            // of state pages and scratch: in use
  MappedFiles files;
  std::map<TaskId, uint64_t> large_scratch;  // bytes mapped, by slot
  bool logs = true;                          // the log of system calls is mapped
  bool served_writes = false;                // some descriptor has HEDDLE_WRITES

  // The lowest free slot, taken. Throws std::runtime_error where there is none.
  TaskId take_slot();
};

struct RecordedProcess {
  pid_t pid = 0;
  std::shared_ptr<RecordedSpace> space;
  SignalState signals;
  bool stopped = false;  // by a signal, as far as is known: its ready tasks are to be parked
  // What its memory knows of descriptors is about its own: they are not shared with a process whose
  // memory is another, nor the memory with one that it is about.
  bool own_descriptors = true;
};

// A system call that the kernel is executing for a task.
struct RecordedCall {
  SyscallArguments arguments{};  // the guest's
  SyscallArguments actual{};     // what the kernel was given
  std::optional<Redirection> redirection;
  SyscallInputs inputs;
  std::vector<std::string> texts;
  Registers before;
  const Syscall* entry = nullptr;
  int64_t result = 0;
  bool stopped = false;      // the process was stopped meanwhile
  bool interrupted = false;  // ended by us for a signal; result is the kernel's -ERESTART*
};

struct RecordedTask {
  enum class State : uint8_t {
    ready,      // may have the token
    in_kernel,  // in a system call: `call`, or vfork if there is none
    stopped,    // with its process, by a signal; the thread listens for what continues it
    done,       // ended
  };

  TaskId id = 0;
  TaskId slot = 1;
  std::shared_ptr<RecordedProcess> process;
  std::unique_ptr<GuestCpu> cpu;
  TaskContext context;
  State state = State::ready;
  std::optional<RecordedCall> call;  // in_kernel: under way; ready: complete but not yet written
  uint64_t clear_tid = 0;
  uint64_t robust_list = 0;
  Ticks next_hash = 0;
  int64_t native_restart = 0;          // -ERESTART* of a call that it makes again once released
  std::optional<uint64_t> saved_mask;  // rt_sigsuspend: what its handler's return restores
  uint64_t posted = 0;                 // signals that wait to be delivered, a bit for each
  uint64_t held = 0;  // of those, the ones that are blocked for real until they are

  HostThread& thread() { return cpu->thread(); }
  HostProcess& host() { return process->space->process; }
  ProcessMemory& memory() { return host().memory(); }
  SignalState& signals() { return process->signals; }
};

}  // namespace heddle
