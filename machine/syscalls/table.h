// The system calls that the machine knows: what they read and write, and how they replay.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace heddle {

enum class Replay : uint8_t {
  logged,       // answered from its event
  performed,    // changes the address space: done again for real
  virtualised,  // state that heddle keeps: signals, threads, fs base
  answered,     // -ENOSYS without asking the kernel
};

enum class Extent : uint8_t {
  fixed,     // `unit` bytes
  result,    // as many bytes as the call returned
  elements,  // unit * arguments[other] bytes
  returned,  // unit * the call's result bytes
  vector,    // iovec array of arguments[other] entries, the call's result bytes in all
  sized,     // *(uint32_t*)arguments[other] bytes
  message,   // msghdr: its buffers, the call's result bytes in all, and the header itself
};

// Memory that the kernel writes for the call, by a pointer argument (null: nothing is written).
struct Output {
  uint8_t index;
  Extent extent;
  uint32_t unit = 1;
  uint8_t other = 0;
};

struct Syscall {
  uint32_t number;
  const char* name;
  Replay replay;
  bool may_block;
  std::vector<Output> outputs;
};

// Null for a number that is not in the table: such a call is refused when recording.
const Syscall* find(uint64_t number);

}  // namespace heddle
