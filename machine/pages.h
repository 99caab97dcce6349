// Arithmetic of pages, and of the results of system calls.
#pragma once

#include <cstdint>

namespace heddle {

// Bytes of a page of x86-64 (without huge pages, which no call's arithmetic asks about).
inline constexpr uint64_t kPage = 0x1000;

// The start of the page that holds `address`.
constexpr uint64_t page_down(uint64_t address) {
  return address & ~(kPage - 1);
}

// The next multiple of a page; 0 where that is past the end of the address space, as in the kernel.
constexpr uint64_t page_up(uint64_t n) {
  return page_down(n + kPage - 1);
}

// What a system call gave is the negative of an errno (include/linux/err.h: MAX_ERRNO is 4095).
constexpr bool is_error(int64_t result) {
  return result < 0 && result >= -4095;
}

}  // namespace heddle
