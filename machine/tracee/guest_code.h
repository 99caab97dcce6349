// Guest memory as a source of code for the translator.
#pragma once

#include "machine/guest_memory.h"
#include "machine/translator/translator.h"

namespace heddle {

// Borrows the memory.
class GuestCode final : public translator::CodeSource {
 public:
  explicit GuestCode(const GuestMemory& memory) : memory_(memory) {}
  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    return memory_.read(address, out);
  }

 private:
  const GuestMemory& memory_;
};

}  // namespace heddle
