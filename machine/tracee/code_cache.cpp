#include "machine/tracee/code_cache.h"

#include <algorithm>
#include <cstdio>
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
  bool live = true;  // reachable by enter(): not invalidated, not throw-away
};

CodeCache::CodeCache(std::shared_ptr<SharedCode> code, translator::Options options)
    : code_(std::move(code)), options_(options) {
  for (size_t i = 0; i < next_.size(); ++i) next_[i] = layout::kArenas[i].start;
  clear_lookup(0);
}

// An empty entry holds an address that belongs to another one: a zero would be address 0's.
void CodeCache::clear_lookup(uint64_t pc) {
  const uint64_t index = pc & 0xffff;
  const heddle_lookup_entry empty{index == 0, 0};
  std::memcpy(code_->lookup + index * sizeof empty, &empty, sizeof empty);
}

CodeCache::~CodeCache() = default;

uint8_t* CodeCache::writable(uint64_t host) const {
  for (size_t i = 0; i < layout::kArenas.size(); ++i)
    if (layout::kArenas[i].contains(host))
      return code_->arenas[i] + (host - layout::kArenas[i].start);
  throw std::logic_error("not an address of the code cache");
}

void CodeCache::patch(uint64_t field, uint64_t target) {
  const auto displacement = static_cast<int64_t>(target - (field + 4));
  if (displacement != static_cast<int32_t>(displacement))
    throw std::logic_error("a link between arenas is out of reach");
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
  if (distance(layout::kArenas[arena].start, pc) > kReach &&
      distance(layout::kArenas[arena].end(), pc) > kReach) {
    uint8_t byte;
    if (source.read(pc, {&byte, 1}) != 0) {
      char where[24];
      std::snprintf(where, sizeof where, "0x%llx", static_cast<unsigned long long>(pc));
      throw std::runtime_error("no code arena lies within 2 GiB of the code at " +
                               std::string(where));
    }
    arena = 0;  // there is no code, only the fault of fetching it
  }
  const uint64_t host = (next_[arena] + 15) & ~uint64_t{15};
  auto block = std::make_unique<Block>();
  block->host = host;
  block->translation = translator::translate(source, pc, host, options);
  const Translation& t = block->translation;
  if (host + t.code.size() > layout::kArenas[arena].end())
    throw std::runtime_error("the code cache is full");
  std::memcpy(writable(host), t.code.data(), t.code.size());
  next_[arena] = host + t.code.size();
  for (const auto& site : t.exits) exits_[host + site.offset] = &site;
  instructions_ += t.instructions;
  Block* raw = block.get();
  blocks_[host] = std::move(block);
  return raw;
}

void CodeCache::add_links(Block* block) {
  for (const auto& link : block->translation.links) {
    const Incoming in{block->host + link.offset, block->host + link.stub};
    incoming_[link.target].push_back(in);
    const auto target = by_pc_.find(link.target);
    if (target == by_pc_.end()) continue;
    const uint64_t to = target->second->host;
    const auto reach = static_cast<int64_t>(to - (in.field + 4));
    if (reach == static_cast<int32_t>(reach)) patch(in.field, to);
  }
}

uint64_t CodeCache::enter(uint64_t pc, const GuestMemory& memory) {
  if (const auto it = by_pc_.find(pc); it != by_pc_.end()) return it->second->host;
  // Translate what direct transfers reach from here too: a stop costs more than a translation.
  std::vector<uint64_t> wanted{pc};
  size_t budget = kBatch;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const uint64_t at = wanted[i];
    if (by_pc_.contains(at)) continue;
    if (i > 0 && budget == 0) break;
    Block* block = translate(at, memory, options_);
    by_pc_[at] = block;
    for (const auto& split : block->translation.splits)
      splits_[split.pc] = block->host + split.offset;
    if (const auto in = incoming_.find(at); in != incoming_.end()) {
      for (const auto& link : in->second) {
        const auto reach = static_cast<int64_t>(block->host - (link.field + 4));
        if (reach == static_cast<int32_t>(reach)) patch(link.field, block->host);
      }
    }
    add_links(block);
    for (const auto& link : block->translation.links) wanted.push_back(link.target);
    budget -= std::min<size_t>(budget, block->translation.instructions);
  }
  return by_pc_.at(pc)->host;
}

uint64_t CodeCache::enter_indirect(uint64_t pc, const GuestMemory& memory) {
  const uint64_t host = enter(pc, memory);
  const heddle_lookup_entry entry{pc, host};
  std::memcpy(code_->lookup + (pc & 0xffff) * sizeof entry, &entry, sizeof entry);
  return host;
}

uint64_t CodeCache::enter_split(uint64_t pc, const GuestMemory& memory) {
  if (const auto it = splits_.find(pc); it != splits_.end()) return it->second;
  auto options = options_;
  options.stop = translator::Stop{pc, 1};
  Block* block = translate(pc, memory, options);
  block->live = false;
  add_links(block);
  for (const auto& split : block->translation.splits)
    if (split.pc == pc) return splits_[pc] = block->host + split.offset;
  throw std::logic_error("the instruction at a phase 1 place cannot be split");
}

uint64_t CodeCache::enter_exact(uint64_t pc, translator::Stop stop, const GuestMemory& memory) {
  auto options = options_;
  options.stop = stop;
  // Between two ticks control only moves forward, so the blocks that can lead to the stop start
  // between here and there; they are linked among themselves and to nothing else before it.
  std::map<uint64_t, Block*> fragment;
  std::vector<uint64_t> wanted{pc};
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (fragment.contains(wanted[i])) continue;
    Block* block = translate(wanted[i], memory, options);
    block->live = false;
    fragment[wanted[i]] = block;
    for (const auto& link : block->translation.links)
      if (link.target > pc && link.target <= stop.pc) wanted.push_back(link.target);
  }
  for (const auto& [at, block] : fragment)
    for (const auto& link : block->translation.links)
      if (const auto to = fragment.find(link.target); to != fragment.end())
        patch(block->host + link.offset, to->second->host);
  return fragment.at(pc)->host;
}

const translator::ExitSite* CodeCache::exit_at(uint64_t at) const {
  const auto it = exits_.find(at);
  return it == exits_.end() ? nullptr : it->second;
}

const Origin* CodeCache::origin_at(uint64_t at) const {
  auto it = blocks_.upper_bound(at);
  if (it == blocks_.begin()) return nullptr;
  --it;
  const Block& block = *it->second;
  if (at - block.host >= block.translation.code.size()) return nullptr;
  const auto& origins = block.translation.origins;
  const auto offset = static_cast<uint32_t>(at - block.host);
  auto origin = std::upper_bound(origins.begin(), origins.end(), offset,
                                 [](uint32_t o, const Origin& e) { return o < e.offset; });
  return origin == origins.begin() ? nullptr : &*std::prev(origin);
}

bool CodeCache::holds(uint64_t start, uint64_t size) const {
  for (const auto& [pc, block] : by_pc_)
    if (block->translation.pc < start + size && block->translation.end > start) return true;
  return false;
}

std::shared_ptr<CodeCache> CodeCache::copy(std::shared_ptr<SharedCode> own) const {
  auto made = std::make_shared<CodeCache>(std::move(own), options_);
  made->next_ = next_;
  made->splits_ = splits_;
  made->incoming_ = incoming_;
  made->instructions_ = instructions_;
  for (const auto& [host, block] : blocks_) {
    auto same = std::make_unique<Block>(*block);
    for (const auto& site : same->translation.exits) made->exits_[host + site.offset] = &site;
    made->blocks_[host] = std::move(same);
  }
  for (const auto& [pc, block] : by_pc_) made->by_pc_[pc] = made->blocks_.at(block->host).get();
  return made;
}

void CodeCache::invalidate(uint64_t start, uint64_t size) {
  ++epoch_;
  const uint64_t end = start + size;
  for (auto it = by_pc_.begin(); it != by_pc_.end();) {
    Block& block = *it->second;
    const Translation& t = block.translation;
    if (t.pc >= end || t.end <= start) {
      ++it;
      continue;
    }
    block.live = false;
    if (const auto in = incoming_.find(t.pc); in != incoming_.end())
      for (const auto& link : in->second) patch(link.field, link.stub);
    heddle_lookup_entry entry;
    std::memcpy(&entry, code_->lookup + (t.pc & 0xffff) * sizeof entry, sizeof entry);
    if (entry.guest == t.pc) clear_lookup(t.pc);
    for (const auto& split : t.splits) splits_.erase(split.pc);
    it = by_pc_.erase(it);
  }
}

}  // namespace heddle
