#include "trace_format/reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "trace_format/chunk.h"
#include "trace_format/logged_calls.h"
#include "trace_format/trace_tail.h"

namespace heddle {

TraceReader::TraceReader(std::filesystem::path directory) : directory_(std::move(directory)) {
  const auto path = directory_ / "events";
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0)
    throw TraceError(directory_.string() + ": not a trace (" + std::strerror(errno) + ")");
  struct stat info {};
  if (fstat(fd_, &info) == 0) size_ = static_cast<uint64_t>(info.st_size);
}

TraceReader::~TraceReader() {
  if (fd_ >= 0) close(fd_);
}

bool TraceReader::load_chunk() {
  const auto where = [&] {
    return (directory_ / "events").string() + " at offset " + std::to_string(offset_);
  };
  if (next_ != chunk_end_)
    throw TraceError((directory_ / "events").string() + " before offset " +
                     std::to_string(offset_) + ": a chunk with another number of events");
  if (offset_ == size_) {
    cut_off_ = where() + ": the recording was cut off (no end mark)";
    return false;
  }
  chunk::Header header;
  if (size_ - offset_ < sizeof header) {
    cut_off_ = where() + ": the recording was cut off in the middle of a chunk's header";
    return false;
  }
  if (pread(fd_, &header, sizeof header, static_cast<off_t>(offset_)) != sizeof header)
    throw TraceError(where() + ": cannot be read");
  if (header.magic != chunk::Header::kMagic) throw TraceError(where() + ": not a chunk");
  if (header.version != chunk::Header::kVersion)
    throw TraceError(where() + ": format version " + std::to_string(header.version) +
                     ", this heddle reads " + std::to_string(chunk::Header::kVersion));
  if (header.stored > chunk::kMaxStored || header.size > chunk::kMaxSize)
    throw TraceError(where() + ": a chunk of impossible size");
  if (header.stored > size_ - offset_ - sizeof header) {
    cut_off_ = where() + ": the recording was cut off in the middle of a chunk";
    return false;
  }
  std::vector<uint8_t> raw(sizeof header + header.stored);
  if (pread(fd_, raw.data(), raw.size(), static_cast<off_t>(offset_)) !=
      static_cast<ssize_t>(raw.size()))
    throw TraceError(where() + ": cannot be read");
  const uint64_t checksum = header.checksum;
  header.checksum = 0;
  std::memcpy(raw.data(), &header, sizeof header);
  if (XXH64(raw.data(), raw.size(), 0) != checksum)
    throw TraceError(where() + ": the checksum does not match: the chunk is damaged");
  if (header.kind == chunk::kEnd) {
    if (header.first_event != next_) throw TraceError(where() + ": events are missing");
    if (offset_ + raw.size() != size_) throw TraceError(where() + ": bytes follow the end mark");
    ended_ = true;
    return false;
  }
  if (header.kind != chunk::kEvents || header.first_event != next_)
    throw TraceError(where() + ": a chunk out of order");
  // Before room is made for what a few bytes may claim to hold.
  if (ZSTD_getFrameContentSize(raw.data() + sizeof header, header.stored) != header.size)
    throw TraceError(where() + ": a chunk does not decompress");
  chunk_.resize(header.size);
  const size_t got =
      ZSTD_decompress(chunk_.data(), chunk_.size(), raw.data() + sizeof header, header.stored);
  if (ZSTD_isError(got) || got != header.size)
    throw TraceError(where() + ": a chunk does not decompress");
  left_ = chunk_;
  offset_ += raw.size();
  chunk_end_ = next_ + header.events;
  return true;
}

// The chunks are over without an end: what the recorder had not put into one yet.
std::optional<Event> TraceReader::salvaged() {
  if (!salvaged_) {
    salvaged_.emplace();
    auto found = TraceTail::read(directory_ / "tail", next_);
    for (auto& event : read_syscall_log(directory_ / "log", next_))
      found.push_back(std::move(event));
    std::ranges::stable_sort(found, {}, &Event::number);
    for (auto& event : found)
      if (event.number == next_ + salvaged_->size()) salvaged_->push_back(std::move(event));
  }
  if (salvaged_->empty()) return std::nullopt;
  Event event = std::move(salvaged_->front());
  salvaged_->pop_front();
  ++next_;
  return event;
}

std::optional<Event> TraceReader::next() {
  const auto before = [&] {
    return (directory_ / "events").string() + " before offset " + std::to_string(offset_) + ": ";
  };
  while (decoded_.empty()) {
    if (left_.empty()) {
      if (ended_) return std::nullopt;
      if (!cut_off_.empty() || !load_chunk()) return ended_ ? std::nullopt : salvaged();
      continue;
    }
    try {
      decode(left_, decoded_);
    } catch (const TraceError& error) {
      throw TraceError(before() + error.what());
    }
  }
  Event event = std::move(decoded_.front());
  decoded_.pop_front();
  if (event.number != next_) throw TraceError(before() + "events are out of order");
  ++next_;
  return event;
}

std::optional<LoggedCalls> TraceReader::next_calls() {
  const auto before = [&] {
    return (directory_ / "events").string() + " before offset " + std::to_string(offset_) + ": ";
  };
  if (!decoded_.empty() || ended_ || !cut_off_.empty()) return std::nullopt;
  if (left_.empty() && !load_chunk()) return std::nullopt;
  std::optional<LoggedCalls> calls;
  try {
    calls = take_calls(left_);
  } catch (const TraceError& error) {
    throw TraceError(before() + error.what());
  }
  if (!calls) return std::nullopt;
  if (calls->first_event != next_) throw TraceError(before() + "events are out of order");
  next_ += calls->events;
  return calls;
}

std::vector<Event> TraceReader::read_all() {
  std::vector<Event> events;
  while (auto event = next()) events.push_back(std::move(*event));
  return events;
}

std::filesystem::path TraceReader::pinned(const std::string& content) const {
  if (content.size() != 32 || content.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw TraceError(directory_.string() + ": '" + content + "' is no pinned file's name");
  auto path = directory_ / "files" / content;
  if (!std::filesystem::exists(path))
    throw TraceError(path.string() + ": the pinned file is missing");
  return path;
}

}  // namespace heddle
