// What Go's runtime knows of a stopped thread: which goroutine it runs, and where the stacks that
// it is not on were left.
#pragma once

#include <cstdint>
#include <optional>

#include "machine/guest_memory.h"
#include "machine/stacks/loaded_module.h"

namespace heddle {

// Offsets in the runtime's structures, in bytes. The same in every version are the stack's bounds
// at the start of a g, the m's g0 at its start, and sp and pc at the start of a gobuf ("known to"
// other tools, as src/runtime/runtime2.go says).
struct GoLayout {
  uint64_t g_m = 0;
  uint64_t g_sched = 0;
  uint64_t m_curg = 0;
  int64_t tls_g = -8;  // from the FS base to the current g

  // From the program's DWARF, or known for its version. Nothing for a version that is not known.
  static std::optional<GoLayout> of(const LoadedModule& module);
  // "go1.19.8"; empty where the program does not say. Ignores DWARF.
  static std::string version(const LoadedModule& module);
  static std::optional<GoLayout> of_version(const std::string& version);

  bool operator==(const GoLayout&) const = default;
};

// A view for as long as the thread stands still. Every address is checked as far as it can be:
// threads that Go does not know, and ones that are between two states, give nothing.
class GoThread {
 public:
  GoThread(const GoLayout& layout, const GuestMemory& memory, uint64_t fs_base);

  // The goroutine that the thread runs for, on its own stack or on the thread's; 0: none.
  uint64_t goroutine() const { return curg_; }

  struct Saved {
    uint64_t pc = 0;
    uint64_t sp = 0;
  };
  // Where the goroutine left its stack for the thread's.
  std::optional<Saved> goroutine_left() const;
  // Is `sp` on the goroutine's stack?
  bool on_goroutine(uint64_t sp) const;
  // The thread's stack pointer in the innermost call of runtime.cgocallback above `sp`.
  std::optional<uint64_t> callback_above(uint64_t sp) const;
  // Upper bound of a g's stack.
  std::optional<uint64_t> stack_end(uint64_t g) const;

 private:
  std::optional<Saved> saved(uint64_t g) const;

  GoLayout layout_;
  const GuestMemory& memory_;
  uint64_t g0_ = 0;
  uint64_t curg_ = 0;
};

}  // namespace heddle
