// How a report's text is set: plain, or with terminal colours.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace heddle::report {

enum class Emphasis : uint8_t { heading, bad, good, name, dim };

// Text that came from the guest (file names, symbols, output) with control characters and what is
// no UTF-8 as \xNN, so that a program cannot write escape sequences to the terminal of who reads
// about it.
std::string printable(std::string_view text);

class Style {
 public:
  explicit Style(bool colour) : colour_(colour) {}
  // `text` in ECMA-48 SGR sequences, or unchanged.
  std::string operator()(Emphasis emphasis, std::string_view text) const;

 private:
  bool colour_;
};

// 1234567 as "1,234,567".
std::string grouped(uint64_t number);
// "1 run", "2 runs", "1,000 runs".
std::string counted(uint64_t number, std::string_view noun);
// "850 ms", "12.3 s", "4 min 10 s", "2 h 5 min".
std::string duration(double seconds);

}  // namespace heddle::report
