// Which host code stands for which guest code: translations, their links and the lookup table.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/tracee/host_process.h"
#include "machine/translator/translator.h"

namespace heddle {

// One for all processes that share a SharedCode. Writes the arenas and the lookup table; the guest
// must be stopped while any of these is called. Arena space is never reused: an arena that is full
// throws std::runtime_error naming it.
class CodeCache {
 public:
  CodeCache(std::shared_ptr<SharedCode> code, translator::Options options);
  ~CodeCache();

  // Host address at which the guest's code at `pc` starts; translated first if need be. `memory` is
  // the address space to read it from.
  // `lent`: with the registers of translator::kLent in the hot state; only of fast translations.
  uint64_t enter(uint64_t pc, bool lent, const GuestMemory& memory);
  const translator::Options& options() const { return options_; }
  // Host address of the landing pad for indirect transfers to `pc`, which the lookup table leads to
  // from now on.
  uint64_t enter_indirect(uint64_t pc, const GuestMemory& memory);
  // Host address of the second half of a split read-modify-write at `pc`.
  uint64_t enter_split(uint64_t pc, const GuestMemory& memory);
  // A throw-away translation from `pc` on that leaves at `stop`.
  uint64_t enter_exact(uint64_t pc, translator::Stop stop, const GuestMemory& memory);

  // A throw-away translation of the one instruction at `pc`, which goes on through a link exit.
  uint64_t enter_once(uint64_t pc, const GuestMemory& memory);
  // Does the code at host address `at` stand for guest code of [start, start+size)?
  bool translates(uint64_t at, uint64_t start, uint64_t size) const;

  // The exit whose int3 is at host address `at`, or null.
  const translator::ExitSite* exit_at(uint64_t at) const;

  // Where host address `at` comes from: guest pc and the registers that are spilled there.
  const translator::Origin* origin_at(uint64_t at) const;

  // The indirect transfer that is the last to have set heddle_task_state::transfer.
  const translator::IndirectTransfer* transfer_at(uint64_t transfer) const;

  // Guest code in [start, start+size) changed, went away or is not executable any more.
  void invalidate(uint64_t start, uint64_t size);
  // Is any of it translated?
  bool holds(uint64_t start, uint64_t size) const;

  // For a process that goes its own way: the same translations in `own`, which has copies of the
  // arenas up to the addresses in used().
  std::shared_ptr<CodeCache> copy(std::shared_ptr<SharedCode> own) const;
  const std::array<uint64_t, layout::kArenas.size()>& used() const { return next_; }

  uint64_t translated_instructions() const { return instructions_; }

 private:
  struct Block;
  struct Incoming {
    uint64_t field;  // host address of the rel32
    uint64_t stub;   // host address of the link exit's int3
  };
  struct Pad {
    uint64_t pc;    // guest address
    uint64_t host;  // of the pad
    uint64_t next;  // host address of its way to the next pad
  };

  const Block* block_at(uint64_t host) const;
  Block* translate(uint64_t pc, const GuestMemory& memory, const translator::Options& options);
  // Makes the block the one for its pc: links to it and from it.
  void adopt(Block* block);
  void add_links(Block* block);
  void add_pad(const Block& block);
  void chain_pads(uint64_t pc);
  void remove_pad(uint64_t pc);
  bool has_pad(uint64_t pc) const;
  void patch(uint64_t field, uint64_t target);
  void store(uint64_t host, uint64_t value);
  uint8_t* writable(uint64_t host) const;

  std::shared_ptr<SharedCode> code_;
  translator::Options options_;
  std::array<uint64_t, layout::kArenas.size()> next_;  // first free host address of each arena
  // By arena, in the order of host addresses.
  std::array<std::vector<std::unique_ptr<Block>>, layout::kArenas.size()> blocks_;
  std::unordered_map<uint64_t, Block*> by_entry_;
  std::unordered_map<uint64_t, std::vector<uint64_t>> pages_;  // guest page -> live entries
  std::unordered_map<uint64_t, uint64_t> splits_;  // guest pc -> host address of phase 1
  std::unordered_map<uint64_t, std::vector<Incoming>> incoming_;  // by target entry, linked or not
  std::unordered_map<uint16_t, std::vector<Pad>> pads_;           // by index, the first first
  uint64_t epoch_ = 1;                                            // of GuestMemory::executable
  uint64_t instructions_ = 0;
};

}  // namespace heddle
