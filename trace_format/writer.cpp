#include "trace_format/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "trace_format/chunk.h"
#include "trace_format/wire.h"

namespace heddle {
namespace {

constexpr size_t kChunkSize = 64 << 10;  // bytes before compression
constexpr int kLevel = 1;                // zstd's; recording pays for it
// What a pinned file is called that could not be written, in an event that is not written either.
constexpr const char* kNothing = "00000000000000000000000000000000";

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

TraceWriter::TraceWriter(std::filesystem::path directory, std::filesystem::path shared_files)
    : directory_(std::move(directory)) {
  std::error_code ignored;
  std::filesystem::create_directories(directory_.parent_path(), ignored);
  if (mkdir(directory_.c_str(), 0700) != 0 &&
      !(errno == EEXIST && std::filesystem::is_empty(directory_)))
    fail("creating the trace directory " + directory_.string());
  if (chmod(directory_.c_str(), 0700) != 0 || mkdir((directory_ / "files").c_str(), 0700) != 0)
    fail("creating the trace directory " + directory_.string());
  fd_ = open((directory_ / "events").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC,
             0600);
  if (fd_ < 0) fail("creating " + (directory_ / "events").string());
  tail_ = std::make_unique<TraceTail>(directory_ / "tail");
  files_ = std::make_unique<FileStore>(directory_ / "files", std::move(shared_files));
}

TraceWriter::~TraceWriter() {
  if (fd_ >= 0) close(fd_);
}

void TraceWriter::append(const Event& event) {
  if (event.number != next_ || fd_ < 0)
    throw std::logic_error("event " + std::to_string(event.number) + " is appended where " +
                           std::to_string(next_) + " is due");
  ++next_;
  if (failure_) return;
  const size_t at = pending_.size();
  encode(event, pending_);
  keep(at);
}

void TraceWriter::append_calls(std::span<const uint8_t> entries, uint64_t count, uint64_t time_ns) {
  next_ += count;
  if (failure_) return;
  const size_t at = pending_.size();
  encode_calls(entries, next_ - count, time_ns, pending_);
  keep(at);
}

// What was encoded from there on is in a file when this returns, or the trace is given up.
void TraceWriter::keep(size_t at) {
  const bool kept = tail_->append(std::span(pending_).subspan(at));
  if (!kept || pending_.size() >= kChunkSize) flush();
}

void TraceWriter::flush() {
  if (failure_ || next_ == pending_first_) return;
  if (!write_chunk(chunk::kEvents, pending_, pending_first_,
                   static_cast<uint32_t>(next_ - pending_first_)))
    return;
  pending_.clear();
  tail_->clear();
  pending_first_ = next_;
}

void TraceWriter::finish() {
  flush();
  if (!failure_) write_chunk(chunk::kEnd, {}, next_, 0);
  if (close(fd_) != 0 && !failure_)
    give_up("closing " + (directory_ / "events").string() + ": " + std::strerror(errno));
  fd_ = -1;
  if (failure_) return;
  unlink((directory_ / "tail").c_str());
  unlink(syscall_log().c_str());
}

bool TraceWriter::write_chunk(uint16_t kind, const std::vector<uint8_t>& payload, uint64_t first,
                              uint32_t count) {
  chunk::Header header;
  std::vector<uint8_t> out(sizeof header + ZSTD_compressBound(payload.size()));
  const size_t stored = ZSTD_compress(out.data() + sizeof header, out.size() - sizeof header,
                                      payload.data(), payload.size(), kLevel);
  if (ZSTD_isError(stored)) throw std::runtime_error("compressing a chunk of the trace");
  header.kind = kind;
  header.stored = static_cast<uint32_t>(stored);
  header.size = static_cast<uint32_t>(payload.size());
  header.first_event = first;
  header.events = count;
  std::memcpy(out.data(), &header, sizeof header);
  header.checksum = XXH64(out.data(), sizeof header + stored, 0);
  std::memcpy(out.data(), &header, sizeof header);
  out.resize(sizeof header + stored);
  // One write per chunk: a killed recorder leaves at most one incomplete chunk, at the end.
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t put = write(fd_, out.data() + done, out.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      give_up("writing " + (directory_ / "events").string() + ": " +
              std::strerror(put < 0 ? errno : ENOSPC));
      return false;
    }
    done += static_cast<size_t>(put);
  }
  bytes_ += out.size();
  return true;
}

std::string TraceWriter::pin(const std::filesystem::path& file) {
  return pinned([&] { return files_->pin(file); });
}

std::string TraceWriter::pin(std::span<const uint8_t> contents) {
  return pinned([&] { return files_->pin(contents); });
}

std::string TraceWriter::pinned(const std::function<std::string()>& pin) {
  if (failure_) return kNothing;
  try {
    return pin();
  } catch (const std::exception& error) {
    give_up(error.what());
    return kNothing;
  }
}

// What is whole stays: a chunk that was not written to its end is taken back.
void TraceWriter::give_up(const std::string& why) {
  failure_ = why;
  if (fd_ >= 0 && ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) return;
}

}  // namespace heddle
