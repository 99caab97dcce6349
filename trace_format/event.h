// An entry of a trace, as a value. The bytes on disk are trace.capnp's business.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "trace_format/place.h"
#include "trace_format/registers.h"

namespace heddle {

// Bytes that appeared in guest memory by other means than a guest's store.
struct MemoryEffect {
  uint64_t address = 0;
  std::vector<uint8_t> bytes;
  bool operator==(const MemoryEffect&) const = default;
};

// Part of a pinned file of the trace: what a mapping shows.
struct FileRange {
  std::string content;  // name in the trace's files/ directory: hex digest of the contents
  uint64_t offset = 0;  // bytes from the start of the file
  // Where object is not 0 this is about a shared mapping, whose stores every mapping of the object
  // sees: `content` (empty: zeros) is then only what the object holds from `offset` on, and the
  // object has object_size bytes. A file has one number, from 1, through all of a trace.
  uint32_t object = 0;
  uint64_t object_size = 0;
  bool operator==(const FileRange&) const = default;
};

// One mapping of an address space at exec.
struct Mapping {
  uint64_t start = 0;  // page aligned
  uint64_t size = 0;   // bytes, a multiple of the page size
  uint32_t prot = 0;   // PROT_* of mmap(2)
  uint32_t flags = 0;  // MAP_* of mmap(2): MAP_PRIVATE or MAP_SHARED, MAP_GROWSDOWN
  std::string path;    // as /proc/pid/maps names it: a file's path, [stack], [heap] or empty
  std::optional<FileRange> file;
  bool operator==(const Mapping&) const = default;
};

// A reserved range of the guest's address space that belongs to the machine (code arenas, lookup
// table, task states), so that a replay places its own at the same addresses.
struct Reserved {
  uint64_t start = 0;
  uint64_t size = 0;
  bool operator==(const Reserved&) const = default;
};

namespace event {

// The answer of one leaf and subleaf, or of all subleaves.
struct CpuidEntry {
  uint32_t leaf = 0, subleaf = 0;
  bool any_subleaf = false;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  bool operator==(const CpuidEntry&) const = default;
};

// The process image after a successful execve: everything that the program can see.
struct Exec {
  std::string path;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::string working_directory;
  Registers registers;
  std::vector<Mapping> mappings;
  std::vector<MemoryEffect> contents;  // pages that differ from what their mapping shows
  std::vector<Reserved> reserved;
  uint64_t brk = 0;
  int32_t pid = 0;  // of the process, as the recorder saw it
  // Of the first program, what its task inherited: bit N-1 for signal N.
  uint64_t blocked_signals = 0;
  uint64_t ignored_signals = 0;
  // Instruction sets that the program was shown, as /proc/cpuinfo names them: a replay needs them.
  std::vector<std::string> cpu_features;
  // What cpuid answers, wherever no Instruction event says so.
  std::vector<CpuidEntry> cpuid;
  bool operator==(const Exec&) const = default;
};

// A system call, after it returned. The event's Place is that of the syscall instruction.
struct Syscall {
  uint32_t number = 0;
  std::array<uint64_t, 6> arguments{};
  int64_t result = 0;  // as in rax: negative errno on failure
  std::vector<MemoryEffect> effects;
  // mmap and shmat: what the mapping shows. A call that wrote to an object that is mapped: which
  // one, the size that it has now, and `object_bytes` from file->offset on.
  std::optional<FileRange> file;
  TaskId child = 0;          // clone, clone3: the new task
  bool interrupted = false;  // ended by a signal; restart is told by result (-ERESTART*)
  std::vector<uint8_t> object_bytes{};
  std::vector<std::string> texts{};  // names that it was given, in the order of its arguments
  bool makes_process = false;        // `child` is in a process of its own; `result` is its pid
  // heddle_given() of the bytes that the kernel took (write, pwrite64, sendto), as the memory is
  // when the call returns; none where it took none, or that is not known.
  std::optional<uint64_t> given{};
  bool operator==(const Syscall&) const = default;
};

// An instruction that answers differently from run to run: rdtsc, rdtscp, cpuid, rdrand, rdseed,
// rdpid, xgetbv. `after` are rax, rbx, rcx, rdx and rflags when it is done.
struct Instruction {
  uint16_t kind = 0;  // translator::SpecialInstruction
  uint64_t rax = 0, rbx = 0, rcx = 0, rdx = 0, rflags = 0;
  std::optional<Register> operand{};  // rdrand, rdseed, rdpid: what they write...
  uint64_t value = 0;                 // ... all of it
  bool operator==(const Instruction&) const = default;
};

// A signal that was taken at the event's Place: its handler's frame was built, or it ended the
// process.
struct Signal {
  int32_t number = 0;
  bool synchronous = false;            // a fault of the instruction at the Place
  bool fatal = false;                  // default action: the process ended
  std::array<uint8_t, 128> siginfo{};  // siginfo_t as the kernel gave it
  bool operator==(const Signal&) const = default;
};

// The task was stopped at the Place and another one runs.
struct Switch {
  TaskId next = 0;
  bool operator==(const Switch&) const = default;
};

// The task ended (exit); the kernel's writes at its end (CLEARTID, robust list) are the effects.
struct TaskExit {
  int32_t status = 0;
  std::vector<MemoryEffect> effects;
  bool operator==(const TaskExit&) const = default;
};

// The process ended. `status` is wait(2)'s status word.
struct ProcessExit {
  int32_t status = 0;
  bool operator==(const ProcessExit&) const = default;
};

// The process runs on by itself, outside of the recording. `reason` is for a person.
struct Released {
  std::string reason;
  bool operator==(const Released&) const = default;
};

// From here on something was not captured; a replay may differ. `reason` is for a person.
struct Taint {
  std::string reason;
  bool operator==(const Taint&) const = default;
};

// The state of the task and of the whole memory at the Place, for finding where a replay leaves the
// recording. Only in traces that were asked to have it.
struct StateHash {
  struct Range {
    uint64_t start = 0;  // page aligned
    uint64_t size = 0;   // bytes
    uint64_t hash = 0;   // XXH3 (64 bits) of its bytes
    bool operator==(const Range&) const = default;
  };
  uint64_t extended = 0;      // XXH3 (64 bits) of the canonical extended state
  std::vector<Range> memory;  // all private writable mappings, ascending
  bool operator==(const StateHash&) const = default;
};

}  // namespace event

using EventBody = std::variant<event::Exec, event::Syscall, event::Instruction, event::Signal,
                               event::Switch, event::TaskExit, event::ProcessExit, event::Taint,
                               event::StateHash, event::Released>;

struct Event {
  uint64_t number = 0;  // from 0, without gaps
  // Since the recording began, monotonic. Of a call logged in the tracee: when it was taken from
  // the log, 0 where a killed recorder had not done so.
  uint64_t time_ns = 0;
  Place place;
  // Registers before the event at its Place (Syscall, Instruction: rip at the instruction). Absent
  // where they were not captured (calls logged in the tracee).
  std::optional<Registers> registers;
  EventBody body;
  bool operator==(const Event&) const = default;
};

}  // namespace heddle
