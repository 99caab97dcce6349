// Reads a trace, whole or cut off; never trusts it.
#pragma once

#include <deque>
#include <filesystem>
#include <optional>
#include <vector>

#include "trace_format/event.h"
#include "trace_format/wire.h"

namespace heddle {

class TraceReader {
 public:
  // Throws TraceError where there is no trace at `directory`.
  explicit TraceReader(std::filesystem::path directory);
  ~TraceReader();
  TraceReader(const TraceReader&) = delete;
  TraceReader& operator=(const TraceReader&) = delete;

  // The next event; nothing at the end. Throws TraceError (file, offset, what) where the bytes are
  // damaged; a chunk that is cut off at the end of the file is the end of the trace instead. Of a
  // recording that did not end cleanly the events in its tail and log follow those in its chunks.
  std::optional<Event> next();
  std::vector<Event> read_all();
  // Where a record of calls is next: those events at once, as entries that are there until the next
  // call of a member. Otherwise nothing: see next().
  std::optional<LoggedCalls> next_calls();

  // After next() gave nothing: empty where the recording ended cleanly, otherwise where and how the
  // trace is cut off.
  const std::string& cut_off() const { return cut_off_; }

  // Where a pinned file's contents are. Throws TraceError for a name that is no digest or absent.
  std::filesystem::path pinned(const std::string& content) const;

 private:
  bool load_chunk();
  std::optional<Event> salvaged();

  std::filesystem::path directory_;
  int fd_ = -1;
  uint64_t offset_ = 0;  // in the file, of the next chunk
  uint64_t size_ = 0;
  bool ended_ = false;
  std::vector<uint8_t> chunk_;
  std::span<const uint8_t> left_;
  std::deque<Event> decoded_;  // of the last record, not yet given
  uint64_t chunk_end_ = 0;     // number of the first event after the chunk
  uint64_t next_ = 0;
  std::string cut_off_;
  std::optional<std::deque<Event>> salvaged_;  // not yet read by next()
};

}  // namespace heddle
