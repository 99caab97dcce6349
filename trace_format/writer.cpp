#include "trace_format/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <system_error>

#include "trace_format/chunk.h"
#include "trace_format/wire.h"

namespace heddle {
namespace {

constexpr size_t kChunkSize = 64 << 10;  // bytes before compression
constexpr int kLevel = 1;                // zstd's; recording pays for it

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

TraceWriter::TraceWriter(std::filesystem::path directory) : directory_(std::move(directory)) {
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
}

TraceWriter::~TraceWriter() {
  if (fd_ >= 0) close(fd_);
}

void TraceWriter::append(const Event& event) {
  if (event.number != next_ || fd_ < 0)
    throw std::logic_error("event " + std::to_string(event.number) + " is appended where " +
                           std::to_string(next_) + " is due");
  const size_t at = pending_.size();
  encode(event, pending_);
  ++next_;
  keep(at);
}

void TraceWriter::append_calls(std::span<const uint8_t> entries, uint64_t count, uint64_t time_ns) {
  const size_t at = pending_.size();
  encode_calls(entries, next_, time_ns, pending_);
  next_ += count;
  keep(at);
}

// What was encoded from there on is in a file when this returns.
void TraceWriter::keep(size_t at) {
  if (pending_.size() >= kChunkSize || !tail_->append(std::span(pending_).subspan(at))) flush();
}

void TraceWriter::flush() {
  if (next_ == pending_first_) return;
  write_chunk(chunk::kEvents, pending_, pending_first_,
              static_cast<uint32_t>(next_ - pending_first_));
  pending_.clear();
  tail_->clear();
  pending_first_ = next_;
}

void TraceWriter::finish() {
  flush();
  write_chunk(chunk::kEnd, {}, next_, 0);
  if (close(fd_) != 0) fail("closing " + (directory_ / "events").string());
  fd_ = -1;
  unlink((directory_ / "tail").c_str());
  unlink(syscall_log().c_str());
}

void TraceWriter::write_chunk(uint16_t kind, const std::vector<uint8_t>& payload, uint64_t first,
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
    if (put <= 0) fail("writing " + (directory_ / "events").string());
    done += static_cast<size_t>(put);
  }
  bytes_ += out.size();
}

std::string TraceWriter::pin(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("reading " + file.string());
  struct stat info {};
  const auto ns = [](const timespec& t) {
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
  };
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  std::vector<uint8_t> contents;
  Looks looks{};
  if (fstat(fd, &info) == 0) {
    looks = {info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size), ns(info.st_mtim),
             ns(info.st_ctim)};
    contents.reserve(static_cast<size_t>(info.st_size));
  }
  if (const auto known = pinned_.find(looks); known != pinned_.end()) {
    close(fd);
    return known->second;
  }
  while (true) {
    constexpr size_t kPiece = 1 << 20;
    const size_t at = contents.size();
    contents.resize(at + kPiece);
    const ssize_t got = read(fd, contents.data() + at, kPiece);
    contents.resize(at + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("reading " + file.string());
    if (got == 0) break;
  }
  close(fd);
  const auto name = pin(contents);
  // A file that changed a moment ago can change again without looking different.
  constexpr uint64_t kSettled = 2'000'000'000;
  if (ns(now) > kSettled + std::max(looks[3], looks[4])) pinned_[looks] = name;
  return name;
}

std::string TraceWriter::pin(std::span<const uint8_t> contents) {
  const XXH128_hash_t digest = XXH3_128bits(contents.data(), contents.size());
  char name[33];
  std::snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(digest.high64),
                static_cast<unsigned long long>(digest.low64));
  const auto path = directory_ / "files" / name;
  if (!std::filesystem::exists(path)) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(contents.data()),
              static_cast<std::streamsize>(contents.size()));
    out.close();
    if (!out) fail("writing " + path.string());
  }
  return name;
}

}  // namespace heddle
