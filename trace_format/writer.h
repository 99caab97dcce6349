// Writes a trace: see docs/trace-format.md for its invariants.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trace_format/chunk_file.h"
#include "trace_format/event.h"
#include "trace_format/file_store.h"
#include "trace_format/trace_tail.h"

namespace heddle {

// Append-only. What append() returned from survives the death of the writer, in the file `tail`;
// what flush() returned from is in the file `events`. Where the system refuses a write (disk full,
// say) the trace keeps what was appended before, failure() says why, and all that is appended later
// is dropped: the program is at a place that has an event, whatever becomes of it. Chunks are
// compressed and written by another thread; append() waits for it where it falls behind.
class TraceWriter {
 public:
  // Creates `directory` (mode 0700), which must not exist or be empty. Throws std::system_error.
  // `shared_files`: the store of pinned files (file_store.h); empty: none.
  explicit TraceWriter(std::filesystem::path directory, std::filesystem::path shared_files = {});
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  // event.number must be the next one.
  void append(const Event& event);
  // The same for whole entries of the system call log: `count` events.
  void append_calls(std::span<const uint8_t> entries, uint64_t count, uint64_t time_ns);
  // The same for a whole log, which is not copied to `tail`: its entries stay where they are until
  // the next log is appended or flush() returns.
  void append_log(std::span<const uint8_t> entries, uint64_t count, uint64_t time_ns);
  void flush();
  // Marks the clean end; tail and log are gone then. Nothing can be appended afterwards.
  void finish();

  // Puts the file's contents into the trace under the name of their digest, once; returns it.
  std::string pin(const std::filesystem::path& file);
  std::string pin(std::span<const uint8_t> contents);

  // Why nothing is written any more: the file and the system's words.
  const std::optional<std::string>& failure() const { return file_ ? file_->failure() : failure_; }

  uint64_t events() const { return next_; }
  uint64_t bytes() const { return file_ ? file_->bytes() : bytes_; }  // of the events file
  const std::filesystem::path& directory() const { return directory_; }
  // Where a recorder keeps the log of calls served in the tracee (trace_format/syscall_log.h),
  // whose entries are the events after those appended here.
  std::filesystem::path syscall_log() const { return directory_ / "log"; }

 private:
  void keep(size_t at);
  void pass_on();
  Chunk take_pending();

  std::string pinned(const std::function<std::string()>& pin);

  std::filesystem::path directory_;
  std::unique_ptr<FileStore> files_;
  std::unique_ptr<ChunkFile> file_;  // null after finish()
  std::unique_ptr<TraceTail> tail_;  // its current half holds what pending_ does
  std::vector<uint8_t> pending_;
  uint64_t next_ = 0;
  uint64_t pending_first_ = 0;
  uint64_t passed_on_ = 0;      // the chunk that the other half holds: ChunkFile's number; 0: none
  uint64_t log_passed_on_ = 0;  // likewise the last log
  uint64_t bytes_ = 0;          // of a file that was finished
  std::optional<std::string> failure_;  // likewise
};

}  // namespace heddle
