#include "trace_format/writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "trace_format/chunk.h"
#include "trace_format/logged_calls.h"
#include "trace_format/wire.h"

namespace heddle {
namespace {

constexpr size_t kChunkSize = 256 << 10;  // bytes before compression
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
  file_ = std::make_unique<ChunkFile>(directory_ / "events");
  tail_ = std::make_unique<TraceTail>(directory_ / "tail");
  files_ = std::make_unique<FileStore>(directory_ / "files", std::move(shared_files));
}

TraceWriter::~TraceWriter() = default;

void TraceWriter::append(const Event& event) {
  if (event.number != next_ || !file_)
    throw std::logic_error("event " + std::to_string(event.number) + " is appended where " +
                           std::to_string(next_) + " is due");
  ++next_;
  if (failure()) return;
  const size_t at = pending_.size();
  encode(event, pending_);
  keep(at);
}

void TraceWriter::append_calls(std::span<const uint8_t> entries, uint64_t count, uint64_t time_ns) {
  next_ += count;
  if (failure()) return;
  const size_t at = pending_.size();
  encode_calls(entries, next_ - count, time_ns, pending_);
  keep(at);
}

void TraceWriter::append_log(std::span<const uint8_t> entries, uint64_t count, uint64_t time_ns) {
  const uint64_t first = next_;
  if (!failure() && first != pending_first_) pass_on();
  file_->wait(log_passed_on_);
  next_ += count;
  if (failure()) return;
  const auto make = [=](std::vector<uint8_t>& payload) -> std::optional<std::string> {
    if (entry_count(entries) != count) return "the log of system calls is damaged";
    encode_calls(entries, first, time_ns, payload);
    return std::nullopt;
  };
  log_passed_on_ =
      file_->submit({chunk::kEvents, file_->spare(), first, static_cast<uint32_t>(count), make});
  pending_first_ = next_;
}

// What was encoded from there on is in a file when this returns, or the trace is given up.
void TraceWriter::keep(size_t at) {
  if (!tail_->append(std::span(pending_).subspan(at)))
    flush();
  else if (pending_.size() >= kChunkSize)
    pass_on();
}

Chunk TraceWriter::take_pending() {
  Chunk chunk{chunk::kEvents, std::move(pending_), pending_first_,
              static_cast<uint32_t>(next_ - pending_first_)};
  pending_first_ = next_;
  pending_.clear();
  return chunk;
}

// What is pending becomes a chunk while more is appended, to the other half of the tail: once that
// is empty.
void TraceWriter::pass_on() {
  file_->wait(passed_on_);
  if (failure()) return;
  tail_->turn();
  passed_on_ = file_->submit(take_pending());
  pending_ = file_->spare();
}

void TraceWriter::flush() {
  if (failure()) return;
  file_->wait(log_passed_on_);
  if (failure() || next_ == pending_first_) return;
  if (!file_->write(take_pending())) return;
  tail_->clear();
}

void TraceWriter::finish() {
  flush();
  file_->write({chunk::kEnd, {}, next_, 0});
  file_->close();
  failure_ = file_->failure();
  bytes_ = file_->bytes();
  file_.reset();
  if (failure_) return;
  unlink((directory_ / "tail").c_str());
  unlink(syscall_log().c_str());
}

std::string TraceWriter::pin(const std::filesystem::path& file) {
  return pinned([&] { return files_->pin(file); });
}

std::string TraceWriter::pin(std::span<const uint8_t> contents) {
  return pinned([&] { return files_->pin(contents); });
}

std::string TraceWriter::pinned(const std::function<std::string()>& pin) {
  if (failure()) return kNothing;
  try {
    return pin();
  } catch (const std::exception& error) {
    file_->give_up(error.what());
    return kNothing;
  }
}

}  // namespace heddle
