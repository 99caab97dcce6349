// Which pages are write-protected for real so that a change of code is noticed.
//
// A page that code was translated from, and that the guest may write (there, or through another
// mapping of the same shared memory), is *watched*: writing to it faults until it is let go, and by
// then the translations are. What the guest sees of its protections never changes.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace heddle {

// Bookkeeping only: a value, copied for a fork. Addresses are of pages.
class WatchedCode {
 public:
  struct Page {
    uint32_t prot = 0;        // PROT_* that the guest gave it
    std::set<uint64_t> code;  // pages whose translations a write to this one changes
  };

  bool empty() const { return pages_.empty(); }
  bool watches(uint64_t page) const { return pages_.contains(page); }
  const std::map<uint64_t, Page>& pages() const { return pages_; }
  void watch(uint64_t page, uint32_t prot, uint64_t code);
  // The watched pages of [start, start+size).
  std::vector<uint64_t> within(uint64_t start, uint64_t size) const;
  // No longer watched; its entry as it was.
  Page release(uint64_t page);

  // Code was translated from this page of shared memory, and every mapping through which it can be
  // written is watched; mappings to come may write to it too.
  void add_shared(uint64_t page) { shared_.insert(page); }
  // All of them, and none from now on.
  std::set<uint64_t> take_shared() { return std::exchange(shared_, {}); }
  bool holds_shared(uint64_t page) const { return shared_.contains(page); }

 private:
  std::map<uint64_t, Page> pages_;
  std::set<uint64_t> shared_;
};

}  // namespace heddle
