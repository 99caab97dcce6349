#include "machine/tracee/origins.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace heddle {
namespace {

using translator::Origin;

// Each: how far from the one before in host code and in guest code, as variable length numbers, and
// then one of these.
enum Rest : uint8_t { kNone, kAsBefore, kFollows };

// What an origin says besides: as it is in memory, with the address and the offset zero.
Origin rest_of(const Origin& origin) {
  Origin rest = origin;
  rest.offset = 0;
  rest.pc = 0;
  return rest;
}

// All that is not the offset or the address; a field that is new makes this fail to compile.
bool same_rest(const Origin& a, const Origin& b) {
  const auto& [offset, pc, spills, access_log, counting, uncounted, turns] = a;
  (void)offset, (void)pc;
  return std::ranges::equal(spills, b.spills) && access_log == b.access_log &&
         counting == b.counting && uncounted == b.uncounted && turns == b.turns;
}

void put(std::vector<uint8_t>& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<uint8_t>(value | 0x80));
  out.push_back(static_cast<uint8_t>(value));
}

uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}

int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

}  // namespace

static_assert(std::is_trivially_copyable_v<Origin>);

std::vector<uint8_t> pack_origins(std::span<const Origin> origins, uint64_t pc) {
  std::vector<uint8_t> out;
  out.reserve(3 * origins.size() + sizeof(Origin));
  Origin before;
  before.pc = pc;
  for (const auto& origin : origins) {
    put(out, origin.offset - before.offset);
    put(out, zigzag(static_cast<int64_t>(origin.pc - before.pc)));
    if (same_rest(origin, Origin{})) {
      out.push_back(kNone);
    } else if (same_rest(origin, before)) {
      out.push_back(kAsBefore);
    } else {
      out.push_back(kFollows);
      const Origin rest = rest_of(origin);
      const auto* bytes = reinterpret_cast<const uint8_t*>(&rest);
      out.insert(out.end(), bytes, bytes + sizeof rest);
    }
    before = origin;
  }
  return out;
}

std::optional<Origin> find_origin(std::span<const uint8_t> packed, uint64_t pc, uint32_t offset) {
  size_t at = 0;
  const auto get = [&] {
    uint64_t value = 0;
    for (unsigned shift = 0; at < packed.size() && shift < 64; shift += 7) {
      const uint8_t byte = packed[at++];
      value |= uint64_t{byte & 0x7fu} << shift;
      if (!(byte & 0x80)) break;
    }
    return value;
  };
  std::optional<Origin> found;
  Origin now;
  now.pc = pc;
  while (at < packed.size()) {
    const uint32_t to = now.offset + static_cast<uint32_t>(get());
    const uint64_t to_pc = now.pc + static_cast<uint64_t>(unzigzag(get()));
    const uint8_t rest = at < packed.size() ? packed[at++] : uint8_t{kNone};
    if (rest == kNone) {
      now = {};
    } else if (rest == kFollows && packed.size() - at >= sizeof now) {
      std::memcpy(&now, packed.data() + at, sizeof now);
      at += sizeof now;
    }
    now.offset = to;
    now.pc = to_pc;
    if (to > offset) break;
    found = now;
  }
  return found;
}

}  // namespace heddle
