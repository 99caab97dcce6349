#include "tests/differential/guest_program.h"

#include <Zydis/Zydis.h>

#include <cstdio>
#include <cstring>

namespace heddle::differential {
namespace {

bool fits(int64_t displacement) {
  return displacement == static_cast<int8_t>(displacement);
}

void append32(std::vector<uint8_t>& out, int64_t value) {
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

// The item at `at`, whose target is at `target`. `near` items take their long form.
std::vector<uint8_t> encode(const Item& item, uint64_t at, uint64_t target, bool near) {
  std::vector<uint8_t> out;
  const auto distance = [&](size_t length) { return static_cast<int64_t>(target - at - length); };
  switch (item.kind) {
    case Item::Kind::plain:
      return item.bytes;
    case Item::Kind::data: {
      out = item.bytes;
      const auto d = static_cast<int32_t>(item.data - at - out.size());
      std::memcpy(out.data() + item.displacement_at, &d, sizeof d);
      return out;
    }
    case Item::Kind::conditional:
      if (near) {
        out = {0x0f, static_cast<uint8_t>(0x80 | item.bytes[0])};
        append32(out, distance(6));
      } else {
        out = {static_cast<uint8_t>(0x70 | item.bytes[0]), static_cast<uint8_t>(distance(2))};
      }
      return out;
    case Item::Kind::jump:
      if (near) {
        out = {0xe9};
        append32(out, distance(5));
      } else {
        out = {0xeb, static_cast<uint8_t>(distance(2))};
      }
      return out;
    case Item::Kind::call:
      out = {0xe8};
      append32(out, distance(5));
      return out;
    case Item::Kind::counted:
      if (near) return std::vector<uint8_t>(item.bytes.size() + 1, 0x90);
      out = item.bytes;
      out.push_back(static_cast<uint8_t>(distance(item.bytes.size() + 1)));
      return out;
    case Item::Kind::address:
      out = item.bytes;
      append32(out, distance(item.bytes.size() + 4));
      return out;
  }
  return out;
}

bool has_short_form(const Item& item) {
  return item.kind == Item::Kind::conditional || item.kind == Item::Kind::jump ||
         item.kind == Item::Kind::counted;
}

}  // namespace

GuestProgram::Code GuestProgram::layout() const {
  std::vector<bool> near(items.size());
  for (size_t i = 0; i < items.size(); ++i)
    near[i] = items[i].near_form && items[i].kind != Item::Kind::counted;
  Code code;
  while (true) {
    code.addresses.clear();
    uint64_t at = placement.code;
    for (size_t i = 0; i < items.size(); ++i) {
      code.addresses.push_back(at);
      at += encode(items[i], at, at, near[i]).size();
    }
    code.addresses.push_back(at);
    bool longer = false;
    for (size_t i = 0; i < items.size(); ++i) {
      if (near[i] || !has_short_form(items[i])) continue;
      const uint64_t to = code.addresses[static_cast<size_t>(items[i].target)];
      if (!fits(static_cast<int64_t>(to - code.addresses[i + 1]))) near[i] = longer = true;
    }
    if (!longer) break;
  }
  for (size_t i = 0; i < items.size(); ++i) {
    const uint64_t to =
        items[i].target < 0 ? 0 : code.addresses[static_cast<size_t>(items[i].target)];
    const auto bytes = encode(items[i], code.addresses[i], to, near[i]);
    code.bytes.insert(code.bytes.end(), bytes.begin(), bytes.end());
  }
  code.bytes.push_back(0xcc);
  return code;
}

GuestProgram GuestProgram::without(size_t first, size_t count) const {
  GuestProgram out = *this;
  out.items.erase(out.items.begin() + static_cast<ptrdiff_t>(first),
                  out.items.begin() + static_cast<ptrdiff_t>(first + count));
  const auto begin = static_cast<int>(first), end = static_cast<int>(first + count);
  for (auto& item : out.items) {
    if (item.target >= end)
      item.target -= static_cast<int>(count);
    else if (item.target > begin)
      item.target = begin;
  }
  return out;
}

std::string GuestProgram::text() const {
  const Code code = layout();
  std::string out;
  char line[256];
  for (size_t i = 0; i < items.size(); ++i) {
    const size_t at = code.addresses[i] - placement.code,
                 end = code.addresses[i + 1] - placement.code;
    for (size_t p = at; p < end;) {
      ZydisDisassembledInstruction in;
      std::string bytes;
      size_t length = 1;
      const char* text = "(bad)";
      if (ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, placement.code + p,
                                             code.bytes.data() + p, end - p, &in))) {
        length = in.info.length;
        text = in.text;
      }
      for (size_t b = 0; b < length; ++b) {
        std::snprintf(line, sizeof line, "%02x ", code.bytes[p + b]);
        bytes += line;
      }
      std::snprintf(line, sizeof line, "%4zu  %llx  %-36s %s\n", i,
                    static_cast<unsigned long long>(placement.code + p), bytes.c_str(), text);
      out += line;
      p += length;
    }
  }
  for (size_t r = 0; r < kRegisterCount; ++r) {
    std::snprintf(line, sizeof line, "%s%-8.8s%016llx", r % 4 == 0 ? "\n" : "  ",
                  kRegisterNames[r].data(), static_cast<unsigned long long>(registers.values[r]));
    out += line;
  }
  return out + "\n";
}

}  // namespace heddle::differential
