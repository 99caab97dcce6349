// The end of a block: the exits of its links and its constants, behind its code, and all the fields
// that refer to them.
#include <algorithm>
#include <cstring>

#include "machine/translator/block.h"

namespace heddle::translator {
namespace {

constexpr uint64_t kShortLoop = 160;  // bytes of guest code

}  // namespace

void Translation::clear() {
  code.clear();
  exits.clear();
  links.clear();
  origins.clear();
  inner.clear();
  splits.clear();
  indirects.clear();
  landing.reset();
  pc = end = returns_to = 0;
  entry = instructions = 0;
  lent = false;
}

// Offset of the instruction at `pc`, if it is translated here and entered like this.
std::optional<uint32_t> Block::entry_inside(uint64_t pc, bool lent) const {
  if (pc == pc_ && lent == t_.lent && t_.instructions != 0) return t_.entry;
  const auto distance = static_cast<uint32_t>(pc - pc_);
  const auto at = std::ranges::lower_bound(t_.inner, distance, {}, &InnerEntry::distance);
  if (pc <= pc_ || pc - pc_ != distance || at == t_.inner.end() || at->distance != distance ||
      (at->lent != 0) != lent)
    return std::nullopt;
  return uint32_t{at->offset};
}

void Block::finish() {
  filtered_accesses();
  lent_ = t_.lent;
  origin(t_.end);
  auto& inside = workshop_.inside;
  for (const auto& pending : links_) {
    const bool loop = pending.target <= pending.from && pending.from - pending.target < kShortLoop;
    if (const auto to = entry_inside(pending.target, pending.lent);
        to && !(options_.fast && loop)) {
      inside.push_back({pending.offset, *to});
      continue;
    }
    lent_ = pending.lent;
    if (!canonical(pending.target)) {
      // The branch raises what an instruction of the kernel's does.
      origin(pending.from);
      inside.push_back({pending.offset, offset()});
      bytes({kHlt});
      origin(t_.end);
      continue;
    }
    t_.links.push_back({pending.offset, offset(), pending.target, pending.lent, loop});
    link_exit(pending.target);
  }
  // Constants lie behind the code, which ends with the links' exits or a jump.
  auto& places = workshop_.places;
  for (const auto& constant : constants_) {
    places.push_back(offset());
    check(a_.embed(&constant.value, sizeof constant.value), "a constant");
  }
  check(code_.flatten(), "a block");
  check(code_.resolveUnresolvedLinks(), "a block");
  check(code_.relocateToBase(host_base_), "a block");
  t_.code.resize(code_.codeSize());
  check(code_.copyFlattenedData(t_.code.data(), t_.code.size()), "a block");
  for (const auto& l : t_.links) {
    const auto displacement = static_cast<int32_t>(l.stub - (l.offset + 4));
    std::memcpy(t_.code.data() + l.offset, &displacement, sizeof displacement);
  }
  for (const auto& [field, to] : inside) {
    const auto displacement = static_cast<int32_t>(to - (field + 4));
    std::memcpy(t_.code.data() + field, &displacement, sizeof displacement);
  }
  for (size_t i = 0; i < constants_.size(); ++i) {
    const auto displacement = static_cast<int32_t>(places[i] - (constants_[i].field + 4));
    std::memcpy(t_.code.data() + constants_[i].field, &displacement, sizeof displacement);
  }
  for (const auto& jump : jumps_) {
    const auto displacement = static_cast<int32_t>(
        static_cast<uint32_t>(code_.labelOffset(jump.label)) - (jump.field + 4));
    std::memcpy(t_.code.data() + jump.field, &displacement, sizeof displacement);
  }
  if (t_.landing) t_.landing->next = places.front();
  for (const auto& field : addresses_) {
    const uint64_t address = host_base_ + code_.labelOffset(field.label);
    const auto low = static_cast<uint32_t>(address), high = static_cast<uint32_t>(address >> 32);
    std::memcpy(t_.code.data() + field.low, &low, sizeof low);
    std::memcpy(t_.code.data() + field.high, &high, sizeof high);
  }
}

}  // namespace heddle::translator
