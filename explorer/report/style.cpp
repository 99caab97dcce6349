#include "explorer/report/style.h"

#include <cstdio>

namespace heddle::report {

std::string printable(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      safe.push_back(c);
    } else if (c == '\t') {
      safe += "\\t";
    } else if (c == '\n') {
      safe += "\\n";
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      safe += escaped;
    }
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
  const auto whole = static_cast<unsigned long long>(seconds + 0.5);
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
