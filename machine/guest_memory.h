// The guest's memory as the supervisor sees it.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

namespace heddle {

// Can there be memory at that address? With 48-bit addresses: four levels of page tables.
inline bool canonical(uint64_t address) {
  return static_cast<int64_t>(address << 16) >> 16 == static_cast<int64_t>(address);
}

class GuestMemory {
 public:
  virtual ~GuestMemory() = default;

  // Reads as many bytes as are mapped from `address` on; returns how many (0: nothing mapped
  // there).
  virtual size_t read(uint64_t address, std::span<uint8_t> out) const = 0;

  // Writes all of `bytes`, whatever the page protection says; false where something is unmapped.
  virtual bool write(uint64_t address, std::span<const uint8_t> bytes) = 0;

  // Whether code may be executed at `address`. `epoch`: a number that changes whenever memory that
  // was executable may have ceased to be; what was learnt in another epoch is learnt anew.
  virtual bool executable(uint64_t address, uint64_t epoch) const {
    (void)address, (void)epoch;
    return true;
  }

  // Of executable memory: whether it can be written without notice, so that what was read of it may
  // be old at any time.
  virtual bool writable_code(uint64_t address) const {
    (void)address;
    return true;
  }

  // Can code be executed at `address`, and does it not change without notice? Asks nobody: false
  // where that is not known for this epoch.
  virtual bool known_constant_code(uint64_t address, uint64_t epoch) const {
    (void)address, (void)epoch;
    return false;
  }

  // Was code read that the guest can write, and that nobody watches yet?
  virtual bool has_unwatched_code() const { return false; }

  // The same as the guest's own store would, or the kernel's on its behalf: false also where the
  // protection does not let it. A stack grows for it.
  virtual bool write_as_guest(uint64_t address, std::span<const uint8_t> bytes) {
    return write(address, bytes);
  }

  // A trivially copyable T at `address`, or nothing if any byte of it is unmapped.
  template <typename T>
  std::optional<T> load(uint64_t address) const {
    T value;
    if (read(address, {reinterpret_cast<uint8_t*>(&value), sizeof value}) != sizeof value)
      return std::nullopt;
    return value;
  }

  template <typename T>
  bool store(uint64_t address, const T& value) {
    return write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }

  // A NUL-terminated string of at most `limit` bytes; nothing if it runs into unmapped memory.
  std::optional<std::string> string(uint64_t address, size_t limit = 4096) const {
    std::string text;
    uint8_t chunk[256];
    while (text.size() < limit) {
      const size_t room = 256 - ((address + text.size()) & 255);
      const size_t got = read(address + text.size(), {chunk, room});
      for (size_t i = 0; i < got; ++i) {
        if (chunk[i] == 0) return text;
        text.push_back(static_cast<char>(chunk[i]));
      }
      if (got < room) return std::nullopt;
    }
    return text;
  }
};

}  // namespace heddle
