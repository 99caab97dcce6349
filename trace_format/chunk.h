// The frame around every piece of a trace's events file.
#pragma once

#include <cstdint>

namespace heddle::chunk {

// Little-endian, as it is in the file; the payload (one zstd frame) follows.
struct Header {
  uint32_t magic = kMagic;
  uint16_t version = kVersion;
  uint16_t kind = 0;         // Kind
  uint32_t stored = 0;       // bytes of payload in the file
  uint32_t size = 0;         // bytes of payload when decompressed
  uint64_t first_event = 0;  // number of the first event in it; end: how many events there are
  uint32_t events = 0;
  uint32_t reserved = 0;  // zero
  uint64_t checksum = 0;  // XXH64 of the header with this field zero, then of the payload

  static constexpr uint32_t kMagic = 0x31434448;  // "HDC1"
  static constexpr uint16_t kVersion = 1;
};
static_assert(sizeof(Header) == 40);

enum Kind : uint16_t { kEvents = 1, kEnd = 2 };

inline constexpr uint32_t kMaxStored = 512u << 20;
inline constexpr uint32_t kMaxSize = 512u << 20;

}  // namespace heddle::chunk
