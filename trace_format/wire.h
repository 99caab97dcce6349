// Between Event values and the bytes of a trace.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "trace_format/event.h"
#include "trace_format/logged_calls.h"

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

// Appends entries of the system call log (trace_format/syscall_log.h), all of them whole, as one
// record: they are the events from that number on.
void encode_calls(std::span<const uint8_t> entries, uint64_t first_event, uint64_t time_ns,
                  std::vector<uint8_t>& out);

// Bytes of the record that begins with this 32-bit number.
uint64_t record_size(uint32_t first);

// Takes one record off the front of `bytes` and appends its events. Throws TraceError where there
// is none.
void decode(std::span<const uint8_t>& bytes, std::deque<Event>& out);

// Takes one record of calls off the front of `bytes`. Nothing where there is another one. Throws
// TraceError where it is malformed.
std::optional<LoggedCalls> take_calls(std::span<const uint8_t>& bytes);

}  // namespace heddle
