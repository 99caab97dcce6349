// Writes a trace: see docs/trace-format.md for its invariants.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trace_format/event.h"
#include "trace_format/trace_tail.h"

namespace heddle {

// Append-only. What append() returned from survives the death of the writer, in the file `tail`;
// what flush() returned from is in the file `events`. Throws std::system_error naming the file
// where the system refuses a write (disk full, say); the trace then holds what was appended before.
class TraceWriter {
 public:
  // Creates `directory` (mode 0700), which must not exist or be empty.
  explicit TraceWriter(std::filesystem::path directory);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  // event.number must be the next one.
  void append(const Event& event);
  // The same for whole entries of the system call log: `count` events.
  void append_calls(std::span<const uint8_t> entries, uint64_t count, uint64_t time_ns);
  void flush();
  // Marks the clean end; tail and log are gone then. Nothing can be appended afterwards.
  void finish();

  // Copies the file's contents into the trace under the name of their digest, once; returns it.
  // A file that looks as it did (device, inode, size, times) is not read again.
  std::string pin(const std::filesystem::path& file);
  std::string pin(std::span<const uint8_t> contents);

  uint64_t events() const { return next_; }
  uint64_t bytes() const { return bytes_; }  // written to the events file
  const std::filesystem::path& directory() const { return directory_; }
  // Where a recorder keeps the log of calls served in the tracee (trace_format/syscall_log.h),
  // whose entries are the events after those appended here.
  std::filesystem::path syscall_log() const { return directory_ / "log"; }

 private:
  void keep(size_t at);
  void write_chunk(uint16_t kind, const std::vector<uint8_t>& payload, uint64_t first,
                   uint32_t count);

  // Device, inode, size, modification and change time (ns) of a file.
  using Looks = std::array<uint64_t, 5>;

  std::filesystem::path directory_;
  std::map<Looks, std::string> pinned_;
  int fd_ = -1;
  std::unique_ptr<TraceTail> tail_;  // holds what pending_ does
  std::vector<uint8_t> pending_;
  uint64_t next_ = 0;
  uint64_t pending_first_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace heddle
