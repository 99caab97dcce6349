#include "machine/tracee/code_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <tuple>

#include "machine/pages.h"
#include "machine/runtime/task_state.h"
#include "machine/tracee/origins.h"
#include "machine/tracee/saved_translations.h"

namespace heddle {
namespace {

using translator::Origin;
using translator::Translation;

constexpr uint64_t kReach = uint64_t{0x7f00'0000};  // bytes; a little less than 2 GiB
constexpr size_t kWorthSaving = 32;                 // blocks
constexpr uint64_t kLongest = 15;                   // bytes of an instruction
constexpr uint64_t kPresent = 0x2'0000;             // bytes of an arena made present at a time

size_t bit_of(uint64_t key) {
  return key * 0x9e37'79b9'7f4a'7c15 >> 46;  // 18 bits
}

uint64_t distance(uint64_t a, uint64_t b) {
  return a > b ? a - b : b - a;
}

}  // namespace

CodeCache::CodeCache(std::shared_ptr<SharedCode> code, translator::Options options)
    : code_(std::move(code)), options_(options) {
  for (size_t i = 0; i < next_.size(); ++i)
    next_[i] = layout::kArenas[i].start + layout::kHotStateSize;
}

CodeCache::~CodeCache() {
  if (watcher_.joinable()) {
    {
      Lock lock(mutex_);
      ending_ = true;
    }
    wake_.notify_one();
    watcher_.join();
  }
  size_t fresh = 0;
  for (const auto& blocks : blocks_) fresh += blocks.size();
  if (kept_in_.empty() || fresh < kWorthSaving || (saved_ && fresh * 100 < saved_->size())) return;
  if (!SavedTranslations::write_apart(kept_in_, *this)) return;
  // Freeing this would copy every page of it that the writing process shares. This one ends soon.
  auto contents = std::make_tuple(std::move(blocks_), std::move(storage_), std::move(by_entry_),
                                  std::move(pages_), std::move(incoming_), std::move(pads_),
                                  std::move(code_pages_));
  static auto* const left = new std::deque<decltype(contents)>;
  left->push_back(std::move(contents));
}

void CodeCache::keep_in(std::filesystem::path file, HostProcess& process) {
  Lock lock(mutex_);
  kept_in_ = std::move(file);
  if (kept_in_.empty()) return;
  saved_ = SavedTranslations::read(kept_in_, options_, process);
  if (!saved_) return;
  for (size_t i = 0; i < next_.size(); ++i)
    next_[i] = std::max(saved_->used()[i], code_->own_end[i]);
}

uint8_t* CodeCache::writable(uint64_t host) const {
  for (size_t i = 0; i < layout::kArenas.size(); ++i)
    if (layout::kArenas[i].contains(host))
      return code_->arenas[i] + (host - layout::kArenas[i].start);
  throw std::logic_error("not an address of the code cache");
}

void CodeCache::store(uint64_t host, uint64_t value) {
  code_->write(host, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
}

// Does nothing where the target is in another arena: the link exit leads there.
void CodeCache::patch(uint64_t field, uint64_t target) {
  const auto displacement = static_cast<int64_t>(target - (field + 4));
  if (displacement != static_cast<int32_t>(displacement)) return;
  const auto value = static_cast<int32_t>(displacement);
  code_->write(field, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
}

// While the guest may be there: it jumps as before or as after where one store of an aligned word
// is all (AMD64 manual, volume 2, 7.6.1; Intel's processors do so too). False: it is not.
bool CodeCache::patch_running(uint64_t field, uint64_t target) {
  constexpr uint64_t kWord = sizeof(uint64_t);
  const uint64_t word = field & ~(kWord - 1), shift = 8 * (field - word);
  const auto displacement = static_cast<int64_t>(target - (field + 4));
  if (shift > 32 || displacement != static_cast<int32_t>(displacement)) return false;
  for (size_t i = 0; i < layout::kArenas.size(); ++i) {
    if (!layout::kArenas[i].contains(word)) continue;
    if (word < code_->own_end[i]) return false;  // many copies
    std::atomic_ref code(*reinterpret_cast<uint64_t*>(writable(word)));
    const uint64_t value = uint64_t{static_cast<uint32_t>(displacement)} << shift;
    code.store((code.load() & ~(uint64_t{0xffff'ffff} << shift)) | value);
  }
  return true;
}

PageSource CodeCache::source(const GuestMemory& memory) {
  if (code_pages_of_ != &memory || code_pages_epoch_ != epoch_) {
    code_pages_.clear();
    code_pages_of_ = &memory;
    code_pages_epoch_ = epoch_;
  }
  return PageSource(memory, epoch_, hashes_, code_pages_, ahead_now_);
}

const Block* CodeCache::translate(uint64_t pc, const PageSource& source,
                                  const translator::Options& options) {
  size_t arena = 0;
  for (size_t i = 1; i < layout::kArenas.size(); ++i)
    if (distance(layout::kArenas[i].start, pc) < distance(layout::kArenas[arena].start, pc))
      arena = i;
  // Code that is far from everything goes to one arena, so that it can be linked.
  if (distance(layout::kArenas[arena].start, pc) > kReach &&
      distance(layout::kArenas[arena].end(), pc) > kReach)
    arena = 0;
  const uint64_t host = (next_[arena] + 15) & ~uint64_t{15};
  translator::translate(source, pc, host, options, translation_);
  const Translation& t = translation_;
  if (host + t.code.size() > layout::kArenas[arena].end())
    throw std::runtime_error("the code cache is full");
  make_present(arena, host + t.code.size());
  std::memcpy(writable(host), t.code.data(), t.code.size());
  next_[arena] = host + t.code.size();
  instructions_ += t.instructions;
  Block& block = blocks_[arena].emplace_back();
  block.host = host;
  block.pc = t.pc;
  block.end = t.end;
  block.size = static_cast<uint32_t>(t.code.size());
  block.entry = t.entry;
  block.instructions = t.instructions;
  block.lent = t.lent;
  block.pad = t.landing.has_value();
  if (t.landing) block.landing = *t.landing;
  block.exits = storage_.keep(std::span(t.exits));
  block.links = storage_.keep(std::span(t.links));
  block.origins = storage_.keep(std::span<const uint8_t>(pack_origins(t.origins, t.pc)));
  block.inner = storage_.keep(std::span(t.inner));
  block.splits = storage_.keep(std::span(t.splits));
  block.indirects = storage_.keep(std::span(t.indirects));
  if (planning_) plan_ahead(&block, t.returns_to);
  return &block;
}

// Many pages at once cost less than a fault at each.
void CodeCache::make_present(size_t arena, uint64_t end) {
  uint64_t& present = present_[arena];
  if (end <= present) return;
  const auto& range = layout::kArenas[arena];
  const uint64_t from = std::max(present, page_down(next_[arena]));
  present = page_down(std::min(std::max(end, from + kPresent), range.end()));
  // Where the kernel does not know how, they come by faults.
  madvise(code_->arenas[arena] + (from - range.start), present - from, MADV_POPULATE_WRITE);
}

void CodeCache::add_links(const Block* block) {
  for (const auto& link : block->links) {
    const uint64_t field = block->host + link.offset;
    const uint64_t target = entry_key(link.target, link.lent);
    incoming_.add(target, field, block->host + link.stub);
    if (const auto to = find(target)) patch(field, *to);
  }
}

void CodeCache::know(uint64_t key, BlockEntry entry) {
  by_entry_[key] = entry;
  const size_t bit = bit_of(key);
  known_bits_[bit / 64] |= uint64_t{1} << bit % 64;
  const Block& block = *entry.block;
  for (uint64_t page = block.pc >> 12; page <= (block.end - 1) >> 12; ++page)
    pages_[page].push_back(key);
  // A new block's own are written before it can be reached.
  const auto own = [&](const IncomingLink& link) {
    return entry.offset == block.entry && link.field - block.host < block.size;
  };
  incoming_.each(key, [&](const IncomingLink& link) {
    if (own(link)) patch(link.field, entry.address());
  });
  incoming_.each(key, [&](const IncomingLink& link) {
    if (own(link)) return;
    if (!ahead_now_)
      patch(link.field, entry.address());
    else if (!patch_running(link.field, entry.address()))
      unlinked_.emplace_back(link.field, entry.address());
  });
}

void CodeCache::adopt(const Block* block) {
  for (const auto& split : block->splits) splits_[split.pc] = block->host + split.offset;
  add_links(block);
  know(entry_key(block->pc, block->lent), {block, block->entry});
  if (block->pad) add_pad(block->pc, block->host, block->landing);
}

bool CodeCache::known(uint64_t pc, bool lent) const {
  const uint64_t key = entry_key(pc, lent);
  const size_t bit = bit_of(key);
  if (!saved_ && !(known_bits_[bit / 64] >> bit % 64 & 1)) return false;
  return find(key).has_value();
}

std::optional<uint64_t> CodeCache::find(uint64_t key) const {
  if (const auto it = by_entry_.find(key); it != by_entry_.end()) return it->second.address();
  return saved_ ? saved_->find(key) : std::nullopt;
}

// What was saved of the code at that entry, if it is the same code.
std::optional<uint64_t> CodeCache::find_saved(uint64_t key, const GuestMemory& memory) {
  if (!saved_) return std::nullopt;
  const auto cluster = saved_->candidate(key);
  if (!cluster || !saved_->verify(*cluster, memory, epoch_, hashes_)) return std::nullopt;
  use_saved_pads(*cluster);
  saved_->use(*cluster);
  return saved_->find(key);
}

// In the middle of a block that started before.
std::optional<uint64_t> CodeCache::find_inside(uint64_t pc, bool lent) {
  const auto page = pages_.find(pc >> 12);
  if (page == pages_.end()) return std::nullopt;
  for (const uint64_t key : page->second) {
    // Of a block that starts before and may reach so far.
    const auto start = static_cast<uint64_t>(static_cast<int64_t>(key) >> 1);
    if (pc - start > kLongest * options_.max_instructions) continue;
    const auto found = by_entry_.find(key);
    if (found == by_entry_.end()) continue;
    const Block& block = *found->second.block;
    if (pc <= block.pc || pc >= block.end) continue;
    const auto distance = static_cast<uint32_t>(pc - block.pc);
    const auto at =
        std::ranges::lower_bound(block.inner, distance, {}, &translator::InnerEntry::distance);
    if (at == block.inner.end() || at->distance != distance || (at->lent != 0) != lent) continue;
    const BlockEntry entry{&block, at->offset};
    know(entry_key(pc, lent), entry);
    return entry.address();
  }
  return std::nullopt;
}

uint64_t CodeCache::enter(uint64_t pc, bool lent, const GuestMemory& memory, bool loop) {
  Lock lock(mutex_);
  const uint64_t key = entry_key(pc, lent);
  if (const auto known = find(key)) return *known;
  if (const auto saved = find_saved(key, memory)) return *saved;
  // The head of a short loop gets a block of its own, which is made for it.
  if (!loop || !options_.fast)
    if (const auto inside = find_inside(pc, lent)) return *inside;
  auto options = options_;
  options.lent = lent;
  options.known = this;
  const Block* block = translate(pc, source(memory), options);
  adopt(block);
  return block->entry_address();
}

uint64_t CodeCache::enter_split(uint64_t pc, const GuestMemory& memory) {
  Lock lock(mutex_);
  if (const auto it = splits_.find(pc); it != splits_.end()) return it->second;
  auto options = options_;
  options.fast = false;
  options.stop = translator::Stop{pc, 1};
  const Block* block = translate(pc, source(memory), options);
  add_links(block);
  for (const auto& split : block->splits) {
    if (split.pc != pc) continue;
    // Known by its page too, so that it goes when the code does.
    pages_[pc >> 12].push_back(entry_key(pc, false));
    return splits_[pc] = block->host + split.offset;
  }
  throw std::logic_error("the instruction at a phase 1 place cannot be split");
}

uint64_t CodeCache::enter_exact(uint64_t pc, translator::Stop stop, const GuestMemory& memory) {
  Lock lock(mutex_);
  auto options = options_;
  options.fast = false;
  options.stop = stop;
  // Between two ticks control only moves forward, but for returns and calls of stubs, which leave:
  // the blocks that can lead to the stop without start between here and there. They are linked
  // among themselves.
  const PageSource code = source(memory);
  std::map<uint64_t, const Block*> fragment;
  std::vector<uint64_t> wanted{pc};
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (fragment.contains(wanted[i])) continue;
    const Block* block = translate(wanted[i], code, options);
    fragment[wanted[i]] = block;
    for (const auto& link : block->links)
      if (link.target > pc && link.target <= stop.pc) wanted.push_back(link.target);
  }
  for (const auto& [at, block] : fragment)
    for (const auto& link : block->links)
      if (const auto to = fragment.find(link.target); to != fragment.end())
        patch(block->host + link.offset, to->second->entry_address());
  return fragment.at(pc)->entry_address();
}

uint64_t CodeCache::enter_once(uint64_t pc, const GuestMemory& memory) {
  Lock lock(mutex_);
  auto options = options_;
  options.fast = false;
  options.max_instructions = 1;
  options.stop = translator::Stop{~uint64_t{0}};  // so that every way out leads to the supervisor
  // What these add for the instruction was done before it faulted.
  options.log_accesses = false;
  options.points = options.hooks = nullptr;
  return translate(pc, source(memory), options)->entry_address();
}

bool CodeCache::translates(uint64_t at, uint64_t start, uint64_t size) const {
  Lock lock(mutex_);
  const Block* block = block_at(at);
  return block && block->pc < start + size && block->end > start;
}

const Block* CodeCache::block_at(uint64_t host) const {
  for (size_t i = 0; i < layout::kArenas.size(); ++i) {
    if (!layout::kArenas[i].contains(host)) continue;
    if (saved_ && host < saved_->used()[i]) return saved_->block_at(host);
    const auto& blocks = blocks_[i];
    const auto next = std::ranges::upper_bound(blocks, host, {}, &Block::host);
    if (next == blocks.begin()) return nullptr;
    const Block& block = *std::prev(next);
    return host - block.host < block.size ? &block : nullptr;
  }
  return nullptr;
}

const translator::ExitSite* CodeCache::exit_at(uint64_t at) const {
  Lock lock(mutex_);
  const Block* block = block_at(at);
  if (!block) return nullptr;
  const auto site = std::ranges::lower_bound(block->exits, static_cast<uint32_t>(at - block->host),
                                             {}, &translator::ExitSite::offset);
  return site != block->exits.end() && block->host + site->offset == at ? &*site : nullptr;
}

std::optional<Origin> CodeCache::origin_at(uint64_t at) const {
  Lock lock(mutex_);
  const Block* block = block_at(at);
  if (!block) return std::nullopt;
  return find_origin(block->origins, block->pc, static_cast<uint32_t>(at - block->host));
}

// No two arenas have addresses with the same low half.
uint64_t CodeCache::host_address(uint64_t low) const {
  for (const auto& arena : layout::kArenas) {
    const uint64_t host = arena.start + static_cast<uint32_t>(low - arena.start);
    if (arena.contains(host)) return host;
  }
  return 0;
}

const translator::IndirectTransfer* CodeCache::transfer_at(uint64_t transfer) const {
  Lock lock(mutex_);
  const uint64_t host = host_address(transfer);
  const Block* block = block_at(host);
  if (!block) return nullptr;
  for (const auto& site : block->indirects)
    if (block->host + site.offset == host) return &site;
  return nullptr;
}

std::shared_ptr<CodeCache> CodeCache::copy(std::shared_ptr<SharedCode> own) const {
  Lock lock(mutex_);
  auto made = std::make_shared<CodeCache>(std::move(own), options_);
  made->next_ = next_;
  made->pages_ = pages_;
  made->splits_ = splits_;
  made->incoming_ = incoming_;
  made->pads_ = pads_;
  made->hashes_ = hashes_;
  made->epoch_ = epoch_;
  made->instructions_ = instructions_;
  made->blocks_ = blocks_;
  made->known_bits_ = known_bits_;
  made->storage_ = storage_.share();
  if (saved_) made->saved_ = saved_->share();
  for (const auto& [key, entry] : by_entry_)
    made->by_entry_[key] = {made->block_at(entry.block->host), entry.offset};
  return made;
}

}  // namespace heddle
