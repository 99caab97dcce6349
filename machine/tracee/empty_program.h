// A program that does nothing, to make a process of.
#pragma once

#include <cstdint>
#include <vector>

namespace heddle {

// The smallest static executable: one loadable segment whose code is int3.
std::vector<uint8_t> empty_program();

}  // namespace heddle
