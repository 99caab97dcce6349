#include "cpp_exceptions_library.h"

namespace guest {

Failure::~Failure() = default;
const char* Failure::what() const noexcept {
  return "failure";
}

int depth_of(int depth) {
  const Unwound unwound;
  if (depth == 0) throw Failure(17);
  return depth_of(depth - 1) + 1;
}

}  // namespace guest
