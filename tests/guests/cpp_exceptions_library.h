// The shared library that cpp_exceptions throws across.
#pragma once

#include <atomic>
#include <exception>

namespace guest {

class Failure : public std::exception {
 public:
  explicit Failure(int code) : code_(code) {}
  ~Failure() override;
  const char* what() const noexcept override;
  int code() const { return code_; }

 private:
  int code_;
};

inline std::atomic<int> unwound_frames{0};

struct Unwound {
  ~Unwound() { unwound_frames++; }
};

// Throws Failure(17) from `depth` frames further down.
int depth_of(int depth);

}  // namespace guest
