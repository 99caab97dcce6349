// The guest's code as the translator reads it: by pages, each read once.
#pragma once

#include <array>
#include <unordered_map>

#include "machine/guest_memory.h"
#include "machine/translator/translator.h"

namespace heddle {

// What each page of code held when it was translated, by guest page number. Changed: it had two
// hashes, or can be written, and so is not a file's.
struct PageHash {
  uint64_t hash = 0;
  bool changed = false;
};
using PageHashes = std::unordered_map<uint64_t, PageHash>;

uint64_t hash_of_page(std::span<const uint8_t> bytes);  // XXH3, 64 bits

// Pages of code that cannot change without notice, by address.
struct CodePage {
  size_t size = 0;
  std::array<uint8_t, 0x1000> bytes;
};
using CodePages = std::unordered_map<uint64_t, CodePage>;

struct NotNow {};

// For one translation, or a few in a row; the guest's memory must not change meanwhile. Does not
// own what it is given.
class PageSource final : public translator::CodeSource {
 public:
  // `epoch`: see GuestMemory::executable. What is read is noted in `hashes`; `pages` holds what was
  // read of that memory in that epoch.
  // `running`: the guest runs meanwhile, and reading other code than such as cannot change without
  // notice throws NotNow.
  PageSource(const GuestMemory& memory, uint64_t epoch, PageHashes& hashes, CodePages& pages,
             bool running = false)
      : memory_(memory), epoch_(epoch), hashes_(hashes), pages_(pages), running_(running) {}

  size_t read(uint64_t address, std::span<uint8_t> out) const override;
  std::span<const uint8_t> view(uint64_t address) const override {
    const uint64_t offset = address & 0xfff;
    if (!last_ || last_address_ != address - offset || offset >= last_->size) return {};
    return std::span(last_->bytes).subspan(offset, last_->size - offset);
  }

 private:
  const CodePage& get(uint64_t address) const;

  const GuestMemory& memory_;
  const uint64_t epoch_;
  PageHashes& hashes_;
  CodePages& pages_;
  const bool running_;
  mutable CodePages changing_;
  mutable const CodePage* last_ = nullptr;
  mutable uint64_t last_address_ = 0;
};

}  // namespace heddle
