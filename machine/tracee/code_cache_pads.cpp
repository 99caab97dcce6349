// Where indirect transfers arrive: the landing pads, in lists by the low 16 bits of their
// addresses.
#include <algorithm>

#include "machine/tracee/code_cache.h"
#include "machine/tracee/saved_translations.h"

namespace heddle {

uint64_t CodeCache::enter_indirect(uint64_t pc, const GuestMemory& memory) {
  return enter_pad(pc, false, memory);
}

uint64_t CodeCache::enter_return(uint64_t pc, const GuestMemory& memory) {
  return enter_pad(pc, true, memory);
}

uint64_t CodeCache::enter_pad(uint64_t pc, bool returns, const GuestMemory& memory) {
  Lock lock(mutex_);
  if (!has_pad(pc, returns)) {
    const uint64_t key = entry_key(pc, options_.fast);
    const bool known = find(key) || find_saved(key, memory) || find_inside(pc, options_.fast);
    if (!has_pad(pc, returns)) {
      auto options = options_;
      options.landing =
          returns ? translator::LandingKind::returns : translator::LandingKind::transfer;
      options.known = this;
      if (known) options.max_instructions = 0;
      const Block* block = translate(pc, source(memory), options);
      if (known) {
        add_links(block);
        add_pad(pc, block->host, block->landing);
      } else {
        adopt(block);
      }
    }
  }
  return *pad_entry(static_cast<uint16_t>(pc), returns);
}

// The table's entry, which leads to the first of an index.
uint64_t* CodeCache::pad_entry(uint16_t index, bool returns) const {
  return reinterpret_cast<uint64_t*>(returns ? code_->returns : code_->lookup) + index;
}

// All pads of an index, the saved ones too.
std::vector<CodeCache::Pad>& CodeCache::pads(uint16_t index, bool returns) {
  const auto [at, fresh] = pads_[returns].try_emplace(index);
  if (fresh && saved_)
    for (const auto& pad : saved_->pads_in_use(index, returns))
      at->second.push_back({pad.pc, pad.host + pad.landing.offset, pad.host + pad.landing.next});
  return at->second;
}

// `host`: the block's. It becomes the first of its index, so that no other is written: the guest
// may be there.
void CodeCache::add_pad(uint64_t pc, uint64_t host, const translator::Landing& landing) {
  auto& all = pads(static_cast<uint16_t>(pc), landing.returns);
  uint64_t* first = pad_entry(static_cast<uint16_t>(pc), landing.returns);
  const Pad pad{pc, host + landing.offset, host + landing.next};
  store(pad.next, *first);
  all.insert(all.begin(), pad);
  *first = pad.host;
}

// They lead to each other already.
void CodeCache::use_saved_pads(uint32_t cluster) {
  const auto saved = saved_->pads(cluster);
  for (auto pad = saved.begin(); pad != saved.end();) {
    const uint16_t index = pad->index();
    const bool returns = pad->landing.returns;
    const auto end = std::find_if(pad, saved.end(), [&](const auto& other) {
      return other.index() != index || other.landing.returns != returns;
    });
    uint64_t* first = pad_entry(index, returns);
    if (*first != (returns ? code_->return_miss : code_->lookup_miss) ||
        pads_[returns].contains(index)) {
      auto& all = pads(index, returns);
      const auto last = std::prev(end);
      store(last->host + last->landing.next, *first);
      for (auto in = end; in != pad;) {
        --in;
        all.insert(all.begin(),
                   {in->pc, in->host + in->landing.offset, in->host + in->landing.next});
      }
    }
    *first = pad->host + pad->landing.offset;
    pad = end;
  }
}

void CodeCache::remove_pad(uint64_t pc) {
  for (const bool returns : {false, true}) {
    if (!has_pad(pc, returns)) continue;
    std::erase_if(pads(static_cast<uint16_t>(pc), returns),
                  [&](const Pad& pad) { return pad.pc == pc; });
    chain_pads(pc, returns);
  }
}

// The list of those that share the pc's index.
void CodeCache::chain_pads(uint64_t pc, bool returns) {
  const uint64_t miss = returns ? code_->return_miss : code_->lookup_miss;
  const auto index = static_cast<uint16_t>(pc);
  const auto& all = pads(index, returns);
  for (size_t i = 0; i < all.size(); ++i)
    store(all[i].next, i + 1 < all.size() ? all[i + 1].host : miss);
  *pad_entry(index, returns) = all.empty() ? miss : all.front().host;
}

bool CodeCache::has_pad(uint64_t pc, bool returns) const {
  const auto index = static_cast<uint16_t>(pc);
  if (const auto known = pads_[returns].find(index); known != pads_[returns].end())
    return std::ranges::any_of(known->second, [&](const Pad& pad) { return pad.pc == pc; });
  return saved_ && std::ranges::any_of(saved_->pads_in_use(index, returns),
                                       [&](const auto& pad) { return pad.pc == pc; });
}

}  // namespace heddle
