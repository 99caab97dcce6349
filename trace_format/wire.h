// Between Event values and the bytes of a trace.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "trace_format/event.h"

namespace heddle {

// A trace that cannot be read: damaged, hostile, or of another version. The text names the file and
// the offset in bytes.
class TraceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Appends the event's encoding (one Cap'n Proto message, preceded by its length in bytes as a
// 32-bit little-endian number) to `out`.
void encode(const Event& event, std::vector<uint8_t>& out);

// Takes one event off the front of `bytes`. Throws TraceError where they are not one.
Event decode(std::span<const uint8_t>& bytes);

}  // namespace heddle
