// A translated block as the code cache keeps it: what the translator said about it, but for the
// code, which is in its arena.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "machine/translator/translator.h"

namespace heddle {

struct Block {
  uint64_t host = 0;  // address of its first byte
  uint64_t pc = 0;    // guest address
  uint64_t end = 0;   // one past the last guest byte translated
  uint32_t size = 0;  // bytes of code
  uint32_t entry = 0;
  uint32_t instructions = 0;
  bool lent = false;
  bool pad = false;
  translator::Landing landing;
  std::span<const translator::ExitSite> exits;  // by offset, as all of these
  std::span<const translator::Link> links;
  std::span<const uint8_t> origins;  // packed (origins.h)
  std::span<const translator::InnerEntry> inner;
  std::span<const translator::SplitEntry> splits;
  std::span<const translator::IndirectTransfer> indirects;

  uint64_t entry_address() const { return host + entry; }
};

// Where guest code is entered: at a block's entry or inside.
struct BlockEntry {
  const Block* block = nullptr;
  uint32_t offset = 0;  // in its code

  uint64_t address() const { return block->host + offset; }
};

// A block's name: its guest address, and whether it is entered with registers lent.
inline uint64_t entry_key(uint64_t pc, bool lent) {
  return pc << 1 | (lent ? 1 : 0);
}

// Memory for the arrays of blocks: grows, and is freed as a whole. Copies share what there is.
class BlockStorage {
 public:
  template <typename T>
  std::span<const T> keep(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (values.empty()) return {};
    void* at = allocate(values.size_bytes());
    std::memcpy(at, values.data(), values.size_bytes());
    return {static_cast<const T*>(at), values.size()};
  }
  // Memory of another's that spans point into.
  void hold(std::shared_ptr<const void> memory) { held_.push_back(std::move(memory)); }
  BlockStorage share() const {
    BlockStorage other;
    other.held_ = held_;
    return other;
  }

 private:
  void* allocate(size_t size) {
    size = (size + 15) & ~size_t{15};
    if (size > left_) {
      left_ = std::max<size_t>(size, 0x4'0000);
      std::shared_ptr<uint8_t[]> chunk(new uint8_t[left_]);
      next_ = chunk.get();
      held_.push_back(std::move(chunk));
    }
    uint8_t* at = next_;
    next_ += size;
    left_ -= size;
    return at;
  }

  std::vector<std::shared_ptr<const void>> held_;
  uint8_t* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace heddle
