// Amounts of storage on the command line.
#pragma once

#include <cstdint>
#include <string>

namespace heddle::cli {

// "4096", "500K", "10M", "2G": bytes, with binary units. Throws std::invalid_argument.
uint64_t byte_count(const std::string& text);

}  // namespace heddle::cli
