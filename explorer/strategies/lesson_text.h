// Numbers of a strategy's lesson, as text.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace heddle {

inline void add_number(std::string& lesson, uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), number, 16).ptr;
  lesson.append(digits, end);
  lesson.push_back(' ');
}

inline std::vector<uint64_t> numbers_of(std::string_view lesson) {
  std::vector<uint64_t> numbers;
  const char* at = lesson.data();
  const char* const end = at + lesson.size();
  while (at < end) {
    uint64_t number = 0;
    const auto read = std::from_chars(at, end, number, 16);
    if (read.ptr == at) break;
    numbers.push_back(number);
    at = read.ptr + 1;
  }
  return numbers;
}

}  // namespace heddle
