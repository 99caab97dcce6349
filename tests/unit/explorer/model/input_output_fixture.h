// Reading and writing in a model kernel.
#pragma once

#include "tests/unit/explorer/model/kernel_fixture.h"

namespace heddle {

class InputOutputTest : public KernelTest {
 protected:
  struct Pair {
    uint64_t reader, writer;
  };
  Pair pipe(uint64_t flags = 0) {
    EXPECT_EQ(result(1, SYS_pipe2, {kData, flags}), 0);
    return {word(kData), word(kData + 4)};
  }
  int64_t write(TaskId task, uint64_t descriptor, std::string_view bytes) {
    store_text(kBuffer + 0x800, bytes);
    return result(task, SYS_write, {descriptor, kBuffer + 0x800, bytes.size()});
  }
  // What a read that returns at once gives; "?" and the result where it is an error.
  std::string read(TaskId task, uint64_t descriptor, uint64_t size) {
    const int64_t count = result(task, SYS_read, {descriptor, kBuffer, size});
    if (count < 0) return "?" + std::to_string(count);
    return text(kBuffer, static_cast<size_t>(count));
  }
};

}  // namespace heddle
