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
  static constexpr size_t kSize = 128 << 10;  // bytes of the file

  // Creates `file` with its space allocated. Throws std::system_error.
  explicit TraceTail(const std::filesystem::path& file);
  ~TraceTail();
  TraceTail(const TraceTail&) = delete;
  TraceTail& operator=(const TraceTail&) = delete;

  // Adds one event as encode() made it. False, and nothing happens, where there is no room.
  bool append(std::span<const uint8_t> encoded);
  void clear();

  // The events in `file` from number `next` on; nothing where there is no file. Throws TraceError
  // where it is damaged.
  static std::vector<Event> read(const std::filesystem::path& file, uint64_t next);

 private:
  uint8_t* bytes_ = nullptr;
  uint32_t used_ = 0;  // bytes of records
};

}  // namespace heddle
