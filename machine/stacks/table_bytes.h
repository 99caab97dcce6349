// Bytes of a table in a file that nobody vouches for: every read is checked.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace heddle {

class TableBytes {
 public:
  TableBytes() = default;
  explicit TableBytes(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  size_t size() const { return bytes_.size(); }
  std::span<const uint8_t> bytes() const { return bytes_; }

  // The T at `offset`; nothing where the table is too short.
  template <typename T>
  std::optional<T> get(uint64_t offset) const {
    if (offset > size() || size() - offset < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }

  // What lies from `offset` on; empty where that is outside.
  TableBytes from(uint64_t offset) const {
    return offset < size() ? TableBytes(bytes_.subspan(offset)) : TableBytes();
  }

  // The NUL-terminated text at `offset`; empty where there is none.
  std::string_view text(uint64_t offset) const {
    const auto rest = from(offset).bytes_;
    const void* end = rest.empty() ? nullptr : std::memchr(rest.data(), 0, rest.size());
    if (!end) return {};
    const auto* start = reinterpret_cast<const char*>(rest.data());
    return {start, static_cast<size_t>(static_cast<const char*>(end) - start)};
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace heddle
