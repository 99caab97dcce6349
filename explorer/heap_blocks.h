// The blocks of a program's heap, from the calls of its allocator.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/stacks/symbols.h"
#include "machine/tracee/guest_cpu.h"

namespace heddle {

// Access::by_call of what is no access of the program's: its block's end, by its function.
inline constexpr uint16_t kFreed = 0xffff;

// Any allocator whose functions are named as the C library's: malloc, calloc, realloc,
// aligned_alloc, memalign, free, and C++'s operators, which are calls of those or stand for
// themselves. Seen at a function's entry, and at the return instructions that follow it; a function
// that ends in another one's is taken for that one.
class HeapBlocks {
 public:
  struct Block {
    uint64_t address = 0;
    uint64_t size = 0;  // bytes
  };
  // What a logged call came to.
  struct Change {
    std::optional<Block> freed, allocated;
    bool twice = false;  // the block that is freed is free already
    uint64_t by = 0;     // entry of the function
  };

  explicit HeapBlocks(const Symbols& symbols) : symbols_(&symbols) {}

  // Code was mapped: adds what is to be watched there to `calls`, for translator::Options::calls.
  void code_mapped(uint64_t start, uint64_t size, const GuestMemory& memory,
                   std::map<uint64_t, Register>& calls);
  bool watches(uint64_t pc) const { return sites_.contains(pc); }
  // The places to watch, and the register that called() wants of each; nothing for another place.
  std::vector<uint64_t> places() const;
  std::optional<Register> argument(uint64_t pc) const;
  // The block that a function which is entered at `pc` would free; nothing where that is none.
  std::optional<Block> to_free(uint64_t pc, uint64_t argument) const;
  // Nothing changed: an inner call is to come, or an outer one is over.
  Change called(TaskId task, const LogEntry& entry);
  // The same places to watch, and no block: as a program begins.
  HeapBlocks without_blocks() const;
  // The freed block that `address` is in.
  std::optional<Block> freed_at(uint64_t address) const;

 private:
  enum class Function : uint8_t { allocate, clear, resize, align, release };
  enum class At : uint8_t { entry, second, exit };  // second: behind the first instruction
  struct Site {
    Function function = Function::allocate;
    At at = At::entry;
    uint64_t entry = 0;
  };
  struct Call {
    Function function = Function::allocate;
    uint64_t entry = 0;
    uint64_t first = 0, second = 0;  // arguments
  };
  void watch(const std::string& name, Function function, uint64_t start, uint64_t size,
             const GuestMemory& memory, std::map<uint64_t, Register>& calls);
  Change release(TaskId task, uint64_t address, uint64_t entry);
  Change returned(TaskId task, const Call& call, uint64_t result);

  const Symbols* symbols_;
  std::unordered_map<uint64_t, Site> sites_;
  std::map<TaskId, std::vector<Call>> calls_;  // under way, innermost last
  std::map<uint64_t, uint64_t> live_, freed_;  // sizes by address
  std::map<uint64_t, TaskId> freed_by_;
};

}  // namespace heddle
