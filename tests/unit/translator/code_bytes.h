// Guest code given as bytes, and what translate() makes of it.
#pragma once

#include <Zydis/Zydis.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "machine/translator/translator.h"

namespace heddle::translator {

// Code at one address; nothing is readable around it.
class CodeBytes final : public CodeSource {
 public:
  CodeBytes(uint64_t address, std::vector<uint8_t> bytes)
      : address_(address), bytes_(std::move(bytes)) {}

  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    if (address - address_ >= bytes_.size()) return 0;
    const size_t n = std::min<size_t>(out.size(), bytes_.size() - (address - address_));
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(address - address_), n, out.begin());
    return n;
  }

 private:
  uint64_t address_;
  std::vector<uint8_t> bytes_;
};

inline constexpr uint64_t kGuest = 0x40'1000;
inline constexpr uint64_t kHost = 0x7000'0000;

inline Translation translated(std::vector<uint8_t> bytes, const Options& options = {},
                              uint64_t guest = kGuest, uint64_t host = kHost) {
  return translate(CodeBytes(guest, std::move(bytes)), guest, host, options);
}

// The translation's host instructions up to its first byte that is not one, as text.
inline std::vector<std::string> host_text(const Translation& t, uint64_t host = kHost) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < t.code.size();) {
    ZydisDisassembledInstruction in;
    if (!ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, host + at,
                                            t.code.data() + at, t.code.size() - at, &in)))
      break;
    lines.emplace_back(in.text);
    at += in.info.length;
  }
  return lines;
}

inline std::vector<ExitKind> exit_kinds(const Translation& t) {
  std::vector<ExitKind> kinds;
  for (const auto& site : t.exits) kinds.push_back(site.kind);
  return kinds;
}

inline const ExitSite* find_exit(const Translation& t, ExitKind kind) {
  for (const auto& site : t.exits)
    if (site.kind == kind) return &site;
  return nullptr;
}

}  // namespace heddle::translator
