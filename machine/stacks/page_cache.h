// A stopped guest's memory, each page of which is read once.
#pragma once

#include <algorithm>
#include <array>
#include <unordered_map>

#include "machine/guest_memory.h"
#include "machine/pages.h"

namespace heddle {

// Good for as long as nothing runs in the guest.
class PageCache final : public GuestMemory {
 public:
  explicit PageCache(const GuestMemory& memory) : memory_(memory) {}

  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const uint64_t at = address + done;
      const Page& page = load_page(page_down(at));
      const size_t offset = at & (kPage - 1);
      if (page.size <= offset) break;
      const size_t n = std::min(page.size - offset, out.size() - done);
      std::copy_n(page.bytes.begin() + static_cast<std::ptrdiff_t>(offset), n,
                  out.begin() + static_cast<std::ptrdiff_t>(done));
      done += n;
    }
    return done;
  }

  bool write(uint64_t, std::span<const uint8_t>) override { return false; }

 private:
  struct Page {
    size_t size = 0;  // 0: not mapped
    std::array<uint8_t, kPage> bytes;
  };

  const Page& load_page(uint64_t start) const {
    const auto [it, fresh] = pages_.try_emplace(start);
    if (fresh) it->second.size = memory_.read(start, it->second.bytes);
    return it->second;
  }

  const GuestMemory& memory_;
  mutable std::unordered_map<uint64_t, Page> pages_;
};

}  // namespace heddle
