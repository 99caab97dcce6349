// Line numbers that tests expect, found by what the line says.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace heddle::testing {

// Number, from 1, of the first line of a guest's source that contains `text`.
inline uint32_t line_of(const std::string& file, const std::string& text) {
  std::ifstream in(std::string(HEDDLE_GUEST_SOURCES) + "/" + file);
  uint32_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find(text) != std::string::npos) return number;
  }
  ADD_FAILURE() << file << " has no line with '" << text << "'";
  return 0;
}

}  // namespace heddle::testing
