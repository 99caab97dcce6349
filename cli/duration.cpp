#include "cli/duration.h"

#include <charconv>
#include <cmath>
#include <stdexcept>
#include <string_view>

namespace heddle::cli {

double seconds_of(const std::string& text) {
  double number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(rest, text.data() + text.size());
  const double scale = unit.empty() || unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  if (error != std::errc{} || scale == 0 || !(number > 0) || !std::isfinite(number))
    throw std::invalid_argument("'" + text + "' is no duration; write 90s, 10m or 2h");
  return number * scale;
}

}  // namespace heddle::cli
