#include "explorer/report/style.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace heddle::report {

namespace {

// Bytes of the UTF-8 character at the start of `text` (RFC 3629); 0: there is none. Control
// characters (C0, DEL, C1) count as none.
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  if (lead == 0xe0 && byte(1) < 0xa0) return 0;
  if (lead == 0xed && byte(1) >= 0xa0) return 0;
  if (lead == 0xf0 && byte(1) < 0x90) return 0;
  if (lead == 0xf4 && byte(1) >= 0x90) return 0;
  return lead == 0xc2 && byte(1) < 0xa0 ? 0 : length;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const size_t length = character_length(text);
    if (length > 0) {
      safe += text.substr(0, length);
    } else if (text[0] == '\t') {
      safe += "\\t";
    } else if (text[0] == '\n') {
      safe += "\\n";
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(text[0]));
      safe += escaped;
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return safe;
}

std::string Style::operator()(Emphasis emphasis, std::string_view text) const {
  if (!colour_) return std::string(text);
  std::string_view code;
  switch (emphasis) {
    case Emphasis::heading:
      code = "1";
      break;
    case Emphasis::bad:
      code = "1;31";
      break;
    case Emphasis::good:
      code = "32";
      break;
    case Emphasis::name:
      code = "36";
      break;
    case Emphasis::dim:
      code = "2";
      break;
  }
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

std::string grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string counted(uint64_t number, std::string_view noun) {
  return grouped(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

std::string duration(double seconds) {
  char text[48];
  const auto whole = static_cast<unsigned long long>(std::llround(seconds));
  if (seconds < 0.9995)
    std::snprintf(text, sizeof text, "%.0f ms", seconds * 1000);
  else if (whole < 60)
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  else if (whole < 3600)
    std::snprintf(text, sizeof text, "%llu min %llu s", whole / 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%llu h %llu min", whole / 3600, whole % 3600 / 60);
  return text;
}

}  // namespace heddle::report
