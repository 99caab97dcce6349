// Which descriptors of a process lead to the standard output or error that the program started
// with.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

namespace heddle {

// Follows dup, close and their like from recorded calls. A value: fork copies it.
class OutputDescriptors {
 public:
  // 1 or 2: the stream that `descriptor` writes to; nothing if it leads elsewhere.
  std::optional<int> stream(int descriptor) const;

  // After a call that returned `result`.
  void called(uint64_t number, const std::array<uint64_t, 6>& arguments, int64_t result);
  // After execve.
  void executed();

 private:
  struct Output {
    int stream;
    bool close_on_exec;
  };
  void duplicate(int from, int64_t to, bool close_on_exec);

  std::map<int, Output> outputs_{{1, {1, false}}, {2, {2, false}}};
};

}  // namespace heddle
