#include "cli/byte_count.h"

#include <charconv>
#include <stdexcept>
#include <string_view>

namespace heddle::cli {

uint64_t byte_count(const std::string& text) {
  uint64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(rest, text.data() + text.size());
  const int shift = unit.empty() ? 0 : unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : -1;
  if (error != std::errc{} || shift < 0 || number == 0 || number > (~uint64_t{0} >> shift))
    throw std::invalid_argument("'" + text + "' is no size; write 500K, 10M or 2G");
  return number << shift;
}

}  // namespace heddle::cli
