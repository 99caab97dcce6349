// The running kernel as the judge of the table: makes a call for real and compares the bytes that
// changed with those that effects() predicts.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "machine/syscalls/effects.h"

namespace heddle {

// This process's own memory.
class OwnMemory final : public GuestMemory {
 public:
  size_t read(uint64_t address, std::span<uint8_t> out) const override;
  bool write(uint64_t address, std::span<const uint8_t> bytes) override;
};

int64_t raw_syscall(uint64_t number, const SyscallArguments& arguments);

// Buffers of a test lie in its arena. A call is made twice, with the arena filled with one pattern
// and then with its complement, so that a written byte that happens to equal the pattern shows.
class Oracle {
 public:
  Oracle() : arena_(1 << 20) {}

  uint8_t* at(size_t offset) { return arena_.data() + offset; }
  template <typename T>
  T* at(size_t offset) {
    return reinterpret_cast<T*>(at(offset));
  }

  // `prepare` fills the inputs in the arena and does what the call needs, and gives its arguments.
  // Returns the result of the second call.
  int64_t expect_exact(uint64_t number, const std::function<SyscallArguments()>& prepare);
  // For calls that may leave bytes as they were: every changed byte is predicted.
  int64_t expect_covered(uint64_t number, const std::function<SyscallArguments()>& prepare);

 private:
  int64_t run(uint64_t number, const std::function<SyscallArguments()>& prepare, bool exact);
  std::vector<uint8_t> arena_;
};

inline uint64_t pointer(const void* p) {
  return reinterpret_cast<uint64_t>(p);
}

}  // namespace heddle
