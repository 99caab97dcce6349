// Which host code stands for which guest code: translations, their links and the lookup table.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/tracee/block.h"
#include "machine/tracee/host_process.h"
#include "machine/tracee/incoming_links.h"
#include "machine/tracee/page_source.h"
#include "machine/translator/translator.h"

namespace heddle {

class SavedTranslations;

// One for all processes that share a SharedCode. Writes the arenas and the lookup table; the guest
// must be stopped, or wait for an answer, while any of these is called. Arena space is never
// reused: an arena that is full throws std::runtime_error naming it. Any thread may call it.
class CodeCache final : private translator::KnownEntries {
 public:
  CodeCache(std::shared_ptr<SharedCode> code, translator::Options options);
  ~CodeCache() override;
  CodeCache(const CodeCache&) = delete;
  CodeCache& operator=(const CodeCache&) = delete;

  // Host address at which the guest's code at `pc` starts; translated first if need be. `memory` is
  // the address space to read it from.
  // `lent`: with the registers of translator::kLent in the hot state; only of fast translations.
  // `loop`: by a branch backward over few instructions.
  uint64_t enter(uint64_t pc, bool lent, const GuestMemory& memory, bool loop = false);
  const translator::Options& options() const { return options_; }
  // Host address of the landing pad for indirect transfers to `pc`, which the lookup table leads to
  // from now on.
  uint64_t enter_indirect(uint64_t pc, const GuestMemory& memory);
  // The same for returns.
  uint64_t enter_return(uint64_t pc, const GuestMemory& memory);
  // Host address of the second half of a split read-modify-write at `pc`.
  uint64_t enter_split(uint64_t pc, const GuestMemory& memory);
  // A throw-away translation from `pc` on that leaves at `stop`.
  uint64_t enter_exact(uint64_t pc, translator::Stop stop, const GuestMemory& memory);

  // A throw-away translation of the one instruction at `pc`, which goes on through a link exit.
  uint64_t enter_once(uint64_t pc, const GuestMemory& memory);
  // Does the code at host address `at` stand for guest code of [start, start+size)?
  bool translates(uint64_t at, uint64_t start, uint64_t size) const;

  // Where the thread that waits with heddle_hot_state::miss_request goes on; nothing where its
  // target is no address at all. The request is done with.
  std::optional<uint64_t> answer_miss(const GuestMemory& memory);
  // The guest has stopped: nothing is translated until it misses again.
  void rest();
  // A task of the process with that memory begins to run: nothing is asked yet.
  void begin(std::shared_ptr<const GuestMemory> memory);
  // Translates some of what the last answer leads to, and has a thread of the cache's own do so and
  // answer the guest's next misses, while the guest waits, until there are none for a while (not on
  // one processor alone). The guest is stopped.
  void watch();
  // Keeps that thread from reading the guest's memory.
  std::unique_lock<std::recursive_mutex> lock() const { return std::unique_lock(mutex_); }

  // The exit at host address `at`, or null. Lives as long as the cache.
  const translator::ExitSite* exit_at(uint64_t at) const;

  // The same by the low half of its address.
  const translator::ExitSite* exit_at_low(uint64_t low) const { return exit_at(host_address(low)); }

  // Where host address `at` comes from: guest pc and the registers that are spilled there.
  std::optional<translator::Origin> origin_at(uint64_t at) const;

  // The indirect transfer that is the last to have set heddle_hot_state::transfer.
  const translator::IndirectTransfer* transfer_at(uint64_t transfer) const;

  // Guest code in [start, start+size) changed, went away or is not executable any more.
  void invalidate(uint64_t start, uint64_t size);
  // Is any of it translated?
  bool holds(uint64_t start, uint64_t size) const;

  // For a process that goes its own way: the same translations in `own`, which has copies of the
  // arenas up to the addresses in used().
  std::shared_ptr<CodeCache> copy(std::shared_ptr<SharedCode> own) const;
  const std::array<uint64_t, layout::kArenas.size()>& used() const { return next_; }

  // Takes over what an earlier run of the same program translated and kept in that file: of each
  // module once it is found to have the same code. Before anything is translated. In the end what
  // may be taken over is written there, unless little is new. A file that is damaged or of another
  // heddle is as none; errors are ignored: it is only a cache.
  // `process` has the cache's code.
  void keep_in(std::filesystem::path file, HostProcess& process);

  uint64_t translated_instructions() const { return instructions_; }

 private:
  static constexpr size_t kKnownBits = 1 << 18;
  friend class SavedTranslations;
  struct Pad {
    uint64_t pc;    // guest address
    uint64_t host;  // of the pad
    uint64_t next;  // host address of its way to the next pad
  };
  using Lock = std::lock_guard<std::recursive_mutex>;

  bool known(uint64_t pc, bool lent) const override;
  const Block* block_at(uint64_t host) const;
  std::optional<uint64_t> find(uint64_t key) const;
  std::optional<uint64_t> find_saved(uint64_t key, const GuestMemory& memory);
  std::optional<uint64_t> find_inside(uint64_t pc, bool lent);
  PageSource source(const GuestMemory& memory);
  const Block* translate(uint64_t pc, const PageSource& source, const translator::Options& options);
  // Makes the block the one for its pc: links to it and from it.
  void adopt(const Block* block);
  void know(uint64_t key, BlockEntry entry);  // and its pages
  void make_present(size_t arena, uint64_t end);
  void add_links(const Block* block);
  using Pads = std::unordered_map<uint16_t, std::vector<Pad>>;
  uint64_t enter_pad(uint64_t pc, bool returns, const GuestMemory& memory);
  std::vector<Pad>& pads(uint16_t index, bool returns);
  uint64_t* pad_entry(uint16_t index, bool returns) const;
  void use_saved_pads(uint32_t cluster);
  void add_pad(uint64_t pc, uint64_t host, const translator::Landing& landing);
  void chain_pads(uint64_t pc, bool returns);
  void remove_pad(uint64_t pc);
  bool has_pad(uint64_t pc, bool returns) const;
  void patch(uint64_t field, uint64_t target);
  bool patch_running(uint64_t field, uint64_t target);
  void store(uint64_t host, uint64_t value);
  uint8_t* writable(uint64_t host) const;
  uint64_t host_address(uint64_t low) const;  // whose low half it is; 0: none
  uint64_t wanted_address() const;
  void answer_misses();  // the thread
  // What a new block may lead to is to be translated while the guest runs, if the thread has time.
  void plan_ahead(const Block* block, uint64_t returns_to);
  bool translate_ahead();  // one of them; false: there is none

  mutable std::recursive_mutex mutex_;
  std::shared_ptr<SharedCode> code_;
  translator::Options options_;
  std::array<uint64_t, layout::kArenas.size()> next_;       // first free host address of each arena
  std::array<uint64_t, layout::kArenas.size()> present_{};  // memory up to there is present
  // By arena, in the order of host addresses.
  std::array<std::deque<Block>, layout::kArenas.size()> blocks_;
  BlockStorage storage_;
  translator::Translation translation_;  // the last, for its memory
  std::unordered_map<uint64_t, BlockEntry> by_entry_;
  std::unordered_map<uint64_t, std::vector<uint64_t>> pages_;  // guest page -> live entries
  std::unordered_map<uint64_t, uint64_t> splits_;  // guest pc -> host address of phase 1
  IncomingLinks incoming_;
  // By index, the first first: of jumps and calls, and of returns. An index that is not there has
  // the pads of one of the saved clusters at most.
  std::array<Pads, 2> pads_;
  PageHashes hashes_;     // of the guest's code that was translated
  uint64_t epoch_ = 1;    // of GuestMemory::executable
  CodePages code_pages_;  // of code_pages_of_, in code_pages_epoch_
  const GuestMemory* code_pages_of_ = nullptr;
  uint64_t code_pages_epoch_ = 0;
  // One bit for each entry that is known, by a hash of its key.
  std::vector<uint64_t> known_bits_ = std::vector<uint64_t>(kKnownBits / 64);
  uint64_t instructions_ = 0;
  std::unique_ptr<SavedTranslations> saved_;
  std::filesystem::path kept_in_;  // empty: nowhere

  std::shared_ptr<const GuestMemory> watched_;
  std::thread watcher_;
  std::condition_variable_any wake_;
  std::atomic<bool> awake_ = false, ending_ = false;
  struct Ahead {
    uint64_t pc;
    bool lent, loop, returns;
  };
  std::deque<Ahead> ahead_;  // the first is the next
  size_t ahead_left_ = 0;    // blocks to translate ahead until the next miss
  bool ahead_now_ = false;   // translating ahead: the guest runs
  bool planning_ = false;
  std::vector<std::pair<uint64_t, uint64_t>> unlinked_;  // what patch() is to be called with
};

}  // namespace heddle
