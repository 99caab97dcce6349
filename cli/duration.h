// How long, as a user writes it.
#pragma once

#include <string>

namespace heddle::cli {

// "90", "90s", "1.5m", "2h" in seconds. Throws std::invalid_argument naming the text.
double seconds_of(const std::string& text);

}  // namespace heddle::cli
