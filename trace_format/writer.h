// Writes a trace: see docs/trace-format.md for its invariants.
#pragma once

#include <filesystem>
#include <vector>

#include "trace_format/event.h"

namespace heddle {

// Append-only. What flush() returned from survives the death of the writer. Throws
// std::system_error naming the file where the system refuses a write (disk full, say); the trace
// then holds what was flushed before.
class TraceWriter {
 public:
  // Creates `directory` (mode 0700), which must not exist or be empty.
  explicit TraceWriter(std::filesystem::path directory);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  // event.number must be the next one.
  void append(const Event& event);
  void flush();
  // Marks the clean end. Nothing can be appended afterwards.
  void finish();

  // Copies the file's contents into the trace under the name of their digest, once; returns it.
  std::string pin(const std::filesystem::path& file);

  uint64_t events() const { return next_; }
  uint64_t bytes() const { return bytes_; }  // written to the events file
  const std::filesystem::path& directory() const { return directory_; }

 private:
  void write_chunk(uint16_t kind, const std::vector<uint8_t>& payload, uint64_t first,
                   uint32_t count);

  std::filesystem::path directory_;
  int fd_ = -1;
  std::vector<uint8_t> pending_;
  uint64_t next_ = 0;
  uint64_t pending_first_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace heddle
