// Whose code an instruction is, which decides what its accesses order and whether they race.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "machine/stacks/symbols.h"

namespace heddle {

enum class CodeOwner : uint8_t {
  program,
  // A library that locks for itself, or whose documentation says who must: the C library, but for
  // what reads or writes for its caller (memcpy and its like), OpenMP's runtimes, allocators.
  library,
  // An atomic operation's code, by the file that its debug information names: C++'s <atomic>,
  // Rust's core::sync::atomic, jemalloc's. On x86-64 its loads and most of its stores are plain
  // moves, which nothing but that name tells from the program's own.
  atomic,
  go_runtime,  // orders nothing and races with nothing
};

// Not for use by two threads at once.
class CodeOwners {
 public:
  // `symbols` must outlive this object. `go`: the program has Go's runtime.
  CodeOwners(const Symbols& symbols, bool go) : symbols_(symbols), go_(go) {}

  CodeOwner of(uint64_t pc);

 private:
  CodeOwner find(uint64_t pc) const;

  const Symbols& symbols_;
  const bool go_;
  std::unordered_map<uint64_t, CodeOwner> known_;
};

}  // namespace heddle
