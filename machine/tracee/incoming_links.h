// The links that lead to an entry of translated code, whether they are linked or not.
#pragma once

#include <cstdint>
#include <vector>

#include "machine/tracee/key_map.h"

namespace heddle {

struct IncomingLink {
  uint64_t field = 0;  // host address of a link's displacement
  uint32_t stub = 0;   // how far behind it the link exit is, in the same block
  uint32_t next = 0;   // of the same target: an index, one up; 0: none

  uint64_t stub_address() const { return field + stub; }
};

class IncomingLinks {
 public:
  // `target`: see entry_key. Both are host addresses.
  void add(uint64_t target, uint64_t field, uint64_t stub) {
    uint32_t& first = first_[target];
    links_.push_back({field, static_cast<uint32_t>(stub - field), first});
    first = static_cast<uint32_t>(links_.size());
  }
  // Calls f(const IncomingLink&) for each; it adds none.
  template <typename F>
  void each(uint64_t target, F f) {
    const uint32_t* first = first_.find(target);
    for (uint32_t i = first ? *first : 0; i != 0; i = links_[i - 1].next) f(links_[i - 1]);
  }

 private:
  KeyMap<uint32_t> first_;  // by target; as IncomingLink::next
  std::vector<IncomingLink> links_;
};

}  // namespace heddle
