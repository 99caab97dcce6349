// The events of a trace that are in no chunk yet, in a file that the writer has mapped: they
// outlive it however it dies.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "trace_format/event.h"

namespace heddle {

class TraceTail {
 public:
  // Bytes of each half: a chunk that is being written, and one that grows.
  static constexpr size_t kHalf = 1 << 20;

  // Creates `file` with its space allocated. Throws std::system_error.
  explicit TraceTail(const std::filesystem::path& file);
  ~TraceTail();
  TraceTail(const TraceTail&) = delete;
  TraceTail& operator=(const TraceTail&) = delete;

  // Adds one event as encode() made it to the current half. False, and nothing happens, where there
  // is no room.
  bool append(std::span<const uint8_t> encoded);
  // Empties both halves.
  void clear();
  // The other half is the current one, and empty. The events in it must be in chunks.
  void turn();

  // The events in `file` with number `next` or a higher one; nothing where there is no file. Throws
  // TraceError where it is damaged.
  static std::vector<Event> read(const std::filesystem::path& file, uint64_t next);

 private:
  void commit();

  uint8_t* bytes_ = nullptr;
  size_t half_ = 0;
  uint32_t used_ = 0;  // bytes of records in the current half
};

}  // namespace heddle
