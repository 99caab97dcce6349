#include "machine/tracee/code_cache.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "machine/runtime/task_state.h"

namespace heddle {
namespace {

using translator::ExitKind;
using translator::Origin;
using translator::Translation;

constexpr uint64_t kReach = uint64_t{0x7f00'0000};  // bytes; a little less than 2 GiB
constexpr size_t kBatch = 200;                      // guest instructions translated per miss

// A block's name: its guest address, and whether it is entered with registers lent.
uint64_t entry_key(uint64_t pc, bool lent) {
  return pc << 1 | (lent ? 1 : 0);
}

uint64_t distance(uint64_t a, uint64_t b) {
  return a > b ? a - b : b - a;
}

// Reads executable code through a cache of pages that lives for one translation.
class PageSource final : public translator::CodeSource {
 public:
  PageSource(const GuestMemory& memory, uint64_t epoch) : memory_(memory), epoch_(epoch) {}

  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const uint64_t at = address + done;
      const Page& page = get(at & ~uint64_t{0xfff});
      const size_t offset = at & 0xfff;
      if (offset >= page.size) break;
      const size_t n = std::min(out.size() - done, page.size - offset);
      std::memcpy(out.data() + done, page.bytes.data() + offset, n);
      done += n;
      if (offset + n < 0x1000) break;
    }
    return done;
  }

 private:
  struct Page {
    std::array<uint8_t, 0x1000> bytes;
    size_t size = 0;
  };
  const Page& get(uint64_t address) const {
    auto [it, fresh] = pages_.try_emplace(address);
    if (fresh && !layout::machines_own(address) && memory_.executable(address, epoch_))
      it->second.size = memory_.read(address, it->second.bytes);
    return it->second;
  }
  const GuestMemory& memory_;
  const uint64_t epoch_;
  mutable std::unordered_map<uint64_t, Page> pages_;
};

}  // namespace

struct CodeCache::Block {
  uint64_t host = 0;
  Translation translation;

  uint64_t entry() const { return host + translation.entry; }
};

CodeCache::CodeCache(std::shared_ptr<SharedCode> code, translator::Options options)
    : code_(std::move(code)), options_(options) {
  for (size_t i = 0; i < next_.size(); ++i)
    next_[i] = layout::kArenas[i].start + layout::kHotStateSize;
}

CodeCache::~CodeCache() = default;

uint8_t* CodeCache::writable(uint64_t host) const {
  for (size_t i = 0; i < layout::kArenas.size(); ++i)
    if (layout::kArenas[i].contains(host))
      return code_->arenas[i] + (host - layout::kArenas[i].start);
  throw std::logic_error("not an address of the code cache");
}

void CodeCache::store(uint64_t host, uint64_t value) {
  std::memcpy(writable(host), &value, sizeof value);
}

// Does nothing where the target is in another arena: the link exit leads there.
void CodeCache::patch(uint64_t field, uint64_t target) {
  const auto displacement = static_cast<int64_t>(target - (field + 4));
  if (displacement != static_cast<int32_t>(displacement)) return;
  const auto value = static_cast<int32_t>(displacement);
  std::memcpy(writable(field), &value, sizeof value);
}

CodeCache::Block* CodeCache::translate(uint64_t pc, const GuestMemory& memory,
                                       const translator::Options& options) {
  size_t arena = 0;
  for (size_t i = 1; i < layout::kArenas.size(); ++i)
    if (distance(layout::kArenas[i].start, pc) < distance(layout::kArenas[arena].start, pc))
      arena = i;
  const PageSource source(memory, epoch_);
  // Code that is far from everything goes to one arena, so that it can be linked.
  if (distance(layout::kArenas[arena].start, pc) > kReach &&
      distance(layout::kArenas[arena].end(), pc) > kReach)
    arena = 0;
  const uint64_t host = (next_[arena] + 15) & ~uint64_t{15};
  auto block = std::make_unique<Block>();
  block->host = host;
  block->translation = translator::translate(source, pc, host, options);
  const Translation& t = block->translation;
  if (host + t.code.size() > layout::kArenas[arena].end())
    throw std::runtime_error("the code cache is full");
  std::memcpy(writable(host), t.code.data(), t.code.size());
  next_[arena] = host + t.code.size();
  instructions_ += t.instructions;
  blocks_[arena].push_back(std::move(block));
  return blocks_[arena].back().get();
}

void CodeCache::add_links(Block* block) {
  for (const auto& link : block->translation.links) {
    const Incoming in{block->host + link.offset, block->host + link.stub};
    const uint64_t target = entry_key(link.target, link.lent);
    incoming_[target].push_back(in);
    if (const auto to = by_entry_.find(target); to != by_entry_.end())
      patch(in.field, to->second->entry());
  }
}

void CodeCache::adopt(Block* block) {
  const Translation& t = block->translation;
  const uint64_t key = entry_key(t.pc, t.lent);
  by_entry_[key] = block;
  for (uint64_t page = t.pc >> 12; page <= (t.end - 1) >> 12; ++page) pages_[page].push_back(key);
  for (const auto& split : t.splits) splits_[split.pc] = block->host + split.offset;
  if (const auto in = incoming_.find(key); in != incoming_.end())
    for (const auto& link : in->second) patch(link.field, block->entry());
  add_links(block);
  if (t.landing) add_pad(*block);
}

// A pad that does not keep the flags comes behind all that do.
void CodeCache::add_pad(const Block& block) {
  const Translation& t = block.translation;
  auto& pads = pads_[static_cast<uint16_t>(t.pc)];
  const Pad pad{t.pc, block.host + t.landing->offset, block.host + t.landing->next};
  pads.insert(t.landing->keeps_flags ? pads.begin() : pads.end(), pad);
  chain_pads(t.pc);
}

void CodeCache::remove_pad(uint64_t pc) {
  const auto found = pads_.find(static_cast<uint16_t>(pc));
  if (found == pads_.end()) return;
  std::erase_if(found->second, [&](const Pad& pad) { return pad.pc == pc; });
  chain_pads(pc);
}

// The list of those that share the pc's index.
void CodeCache::chain_pads(uint64_t pc) {
  const auto index = static_cast<uint16_t>(pc);
  const auto& pads = pads_.at(index);
  for (size_t i = 0; i < pads.size(); ++i)
    store(pads[i].next, i + 1 < pads.size() ? pads[i + 1].host : 0);
  const uint64_t first = pads.empty() ? 0 : pads.front().host;
  std::memcpy(code_->lookup + index * sizeof first, &first, sizeof first);
}

bool CodeCache::has_pad(uint64_t pc) const {
  const auto pads = pads_.find(static_cast<uint16_t>(pc));
  return pads != pads_.end() &&
         std::ranges::any_of(pads->second, [&](const Pad& pad) { return pad.pc == pc; });
}

uint64_t CodeCache::enter(uint64_t pc, bool lent, const GuestMemory& memory) {
  if (const auto it = by_entry_.find(entry_key(pc, lent)); it != by_entry_.end())
    return it->second->entry();
  // Translate what direct transfers reach from here too, and what calls will return to: a stop
  // costs more than a translation.
  struct Wanted {
    uint64_t pc;
    bool lent;
    bool landing;
  };
  std::vector<Wanted> wanted{{pc, lent, false}};
  size_t budget = kBatch;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto [at, with_lent, landing] = wanted[i];
    if (by_entry_.contains(entry_key(at, with_lent))) continue;
    if (i > 0 && budget == 0) break;
    auto options = options_;
    options.landing = landing;
    options.lent = with_lent;
    Block* block = translate(at, memory, options);
    adopt(block);
    for (const auto& link : block->translation.links)
      wanted.push_back({link.target, link.lent, false});
    for (const uint64_t address : block->translation.returns)
      wanted.push_back({address, options_.fast, true});
    budget -= std::min<size_t>(budget, block->translation.instructions);
  }
  return by_entry_.at(entry_key(pc, lent))->entry();
}

uint64_t CodeCache::enter_indirect(uint64_t pc, const GuestMemory& memory) {
  if (!has_pad(pc)) {
    auto options = options_;
    options.landing = true;
    const bool known = by_entry_.contains(entry_key(pc, options_.fast));
    if (known) options.max_instructions = 0;
    Block* block = translate(pc, memory, options);
    if (known) {
      add_links(block);
      add_pad(*block);
    } else {
      adopt(block);
    }
  }
  return pads_.at(static_cast<uint16_t>(pc)).front().host;
}

uint64_t CodeCache::enter_split(uint64_t pc, const GuestMemory& memory) {
  if (const auto it = splits_.find(pc); it != splits_.end()) return it->second;
  auto options = options_;
  options.fast = false;
  options.stop = translator::Stop{pc, 1};
  Block* block = translate(pc, memory, options);
  add_links(block);
  for (const auto& split : block->translation.splits) {
    if (split.pc != pc) continue;
    // Known by its page too, so that it goes when the code does.
    pages_[pc >> 12].push_back(entry_key(pc, false));
    return splits_[pc] = block->host + split.offset;
  }
  throw std::logic_error("the instruction at a phase 1 place cannot be split");
}

uint64_t CodeCache::enter_exact(uint64_t pc, translator::Stop stop, const GuestMemory& memory) {
  auto options = options_;
  options.fast = false;
  options.stop = stop;
  // Between two ticks control only moves forward, so the blocks that can lead to the stop start
  // between here and there; they are linked among themselves and to nothing else before it.
  std::map<uint64_t, Block*> fragment;
  std::vector<uint64_t> wanted{pc};
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (fragment.contains(wanted[i])) continue;
    Block* block = translate(wanted[i], memory, options);
    fragment[wanted[i]] = block;
    for (const auto& link : block->translation.links)
      if (link.target > pc && link.target <= stop.pc) wanted.push_back(link.target);
  }
  for (const auto& [at, block] : fragment)
    for (const auto& link : block->translation.links)
      if (const auto to = fragment.find(link.target); to != fragment.end())
        patch(block->host + link.offset, to->second->entry());
  return fragment.at(pc)->entry();
}

uint64_t CodeCache::enter_once(uint64_t pc, const GuestMemory& memory) {
  auto options = options_;
  options.fast = false;
  options.max_instructions = 1;
  // What these add for the instruction was done before it faulted.
  options.log_accesses = false;
  options.points = options.hooks = nullptr;
  return translate(pc, memory, options)->entry();
}

bool CodeCache::translates(uint64_t at, uint64_t start, uint64_t size) const {
  const Block* block = block_at(at);
  return block && block->translation.pc < start + size && block->translation.end > start;
}

const CodeCache::Block* CodeCache::block_at(uint64_t host) const {
  for (size_t i = 0; i < layout::kArenas.size(); ++i) {
    if (!layout::kArenas[i].contains(host)) continue;
    const auto& blocks = blocks_[i];
    const auto next = std::upper_bound(
        blocks.begin(), blocks.end(), host,
        [](uint64_t at, const std::unique_ptr<Block>& block) { return at < block->host; });
    if (next == blocks.begin()) return nullptr;
    const Block& block = **std::prev(next);
    return host - block.host < block.translation.code.size() ? &block : nullptr;
  }
  return nullptr;
}

const translator::ExitSite* CodeCache::exit_at(uint64_t at) const {
  const Block* block = block_at(at);
  if (!block) return nullptr;
  const auto& exits = block->translation.exits;
  const auto site = std::ranges::lower_bound(exits, static_cast<uint32_t>(at - block->host), {},
                                             &translator::ExitSite::offset);
  return site != exits.end() && block->host + site->offset == at ? &*site : nullptr;
}

const Origin* CodeCache::origin_at(uint64_t at) const {
  const Block* block = block_at(at);
  if (!block) return nullptr;
  const auto& origins = block->translation.origins;
  const auto next = std::ranges::upper_bound(origins, static_cast<uint32_t>(at - block->host), {},
                                             &Origin::offset);
  return next == origins.begin() ? nullptr : &*std::prev(next);
}

const translator::IndirectTransfer* CodeCache::transfer_at(uint64_t transfer) const {
  for (const auto& arena : layout::kArenas) {
    // No two arenas have addresses with the same low half.
    const uint64_t host = arena.start + static_cast<uint32_t>(transfer - arena.start);
    const Block* block = block_at(host);
    if (!block) continue;
    for (const auto& site : block->translation.indirects)
      if (block->host + site.offset == host) return &site;
  }
  return nullptr;
}

bool CodeCache::holds(uint64_t start, uint64_t size) const {
  if (size == 0) return false;
  for (uint64_t page = start >> 12; page <= (start + size - 1) >> 12; ++page) {
    const auto found = pages_.find(page);
    if (found == pages_.end()) continue;
    for (const uint64_t key : found->second) {
      const auto it = by_entry_.find(key);
      if (it == by_entry_.end()) continue;
      const Translation& t = it->second->translation;
      if (t.pc < start + size && t.end > start) return true;
    }
  }
  return false;
}

std::shared_ptr<CodeCache> CodeCache::copy(std::shared_ptr<SharedCode> own) const {
  auto made = std::make_shared<CodeCache>(std::move(own), options_);
  made->next_ = next_;
  made->pages_ = pages_;
  made->splits_ = splits_;
  made->incoming_ = incoming_;
  made->pads_ = pads_;
  made->epoch_ = epoch_;
  made->instructions_ = instructions_;
  std::unordered_map<const Block*, Block*> same;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    for (const auto& block : blocks_[i]) {
      made->blocks_[i].push_back(std::make_unique<Block>(*block));
      same[block.get()] = made->blocks_[i].back().get();
    }
  }
  for (const auto& [pc, block] : by_entry_) made->by_entry_[pc] = same.at(block);
  return made;
}

void CodeCache::invalidate(uint64_t start, uint64_t size) {
  ++epoch_;
  const uint64_t end = start + size;
  const auto invalidate_page = [&](std::vector<uint64_t>& keys) {
    std::erase_if(keys, [&](uint64_t key) {
      const uint64_t pc = key >> 1;
      const auto it = by_entry_.find(key);
      if (it == by_entry_.end()) {
        if (pc >= start && pc < end) splits_.erase(pc);
        return pc >= start && pc < end;
      }
      const Translation& t = it->second->translation;
      if (t.pc >= end || t.end <= start) return false;
      if (const auto in = incoming_.find(key); in != incoming_.end())
        for (const auto& link : in->second) patch(link.field, link.stub);
      remove_pad(pc);
      for (const auto& split : t.splits) splits_.erase(split.pc);
      by_entry_.erase(it);
      return true;
    });
  };
  const uint64_t first = start >> 12, last = (end - 1) >> 12;
  if (size == 0) return;
  if (last - first < pages_.size()) {
    for (uint64_t page = first; page <= last; ++page)
      if (const auto found = pages_.find(page); found != pages_.end())
        invalidate_page(found->second);
  } else {
    for (auto& [page, keys] : pages_)
      if (page >= first && page <= last) invalidate_page(keys);
  }
}

}  // namespace heddle
