// What a code address means in the source.
#pragma once

#include <cstdint>
#include <string>

namespace heddle {

// Empty or zero where it is not known.
struct Site {
  std::string function;  // C++ names are demangled; Go's have their package's path
  std::string file;
  uint32_t line = 0;
  std::string module;    // path of the file that holds the code
  bool inlined = false;  // the function's code is part of another one's
  bool operator==(const Site&) const = default;
};

}  // namespace heddle
