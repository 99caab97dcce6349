#include "cli/signal_number.h"

#include <charconv>
#include <cstring>
#include <stdexcept>

namespace heddle::cli {

int signal_number(const std::string& name) {
  int number = 0;
  const auto end = name.data() + name.size();
  if (std::from_chars(name.data(), end, number).ptr == end && number > 0 && number < 65)
    return number;
  const std::string plain = name.starts_with("SIG") ? name.substr(3) : name;
  for (number = 1; number < 65; ++number) {
    const char* known = sigabbrev_np(number);
    if (known && plain == known) return number;
  }
  throw std::invalid_argument("'" + name + "' is no signal");
}

}  // namespace heddle::cli
