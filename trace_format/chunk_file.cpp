#include "trace_format/chunk_file.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "trace_format/chunk.h"

namespace heddle {
namespace {

constexpr int kLevel = 1;  // zstd's; recording pays for it

}  // namespace

ChunkFile::ChunkFile(std::filesystem::path file)
    : path_(std::move(file)), compressor_(ZSTD_createCCtx()) {
  if (!compressor_) throw std::bad_alloc();
  fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (fd_ >= 0) return;
  const int code = errno;
  ZSTD_freeCCtx(compressor_);
  throw std::system_error(code, std::generic_category(), "creating " + path_.string());
}

ChunkFile::~ChunkFile() {
  close();
  ZSTD_freeCCtx(compressor_);
}

const std::optional<std::string>& ChunkFile::failure() const {
  static const std::optional<std::string> none;
  return failed_.load(std::memory_order_acquire) ? failure_ : none;
}

uint64_t ChunkFile::submit(Chunk chunk) {
  if (!thread_.joinable()) {
    // Signals are the other threads' business.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(chunk));
  changed_.notify_all();
  return ++submitted_;
}

void ChunkFile::wait(uint64_t number) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ >= number; });
}

bool ChunkFile::write(const Chunk& chunk) {
  wait(submitted_);
  return store(chunk);
}

std::vector<uint8_t> ChunkFile::spare() {
  const std::lock_guard lock(mutex_);
  return std::exchange(spare_, {});
}

void ChunkFile::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return over_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Chunk chunk = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    const auto error = chunk.make && !failed_ ? chunk.make(chunk.payload) : std::nullopt;
    if (error)
      fail(*error);
    else
      store(chunk);
    chunk.payload.clear();
    lock.lock();
    spare_ = std::move(chunk.payload);
    ++done_;
    changed_.notify_all();
  }
}

// By the thread, or by the user of the file while the thread has nothing to do.
bool ChunkFile::store(const Chunk& chunk) {
  if (failed_) return false;
  chunk::Header header;
  const auto& payload = chunk.payload;
  out_.resize(sizeof header + ZSTD_compressBound(payload.size()));
  const size_t stored =
      ZSTD_compressCCtx(compressor_, out_.data() + sizeof header, out_.size() - sizeof header,
                        payload.data(), payload.size(), kLevel);
  if (ZSTD_isError(stored)) {
    fail(std::string("compressing a chunk of the trace: ") + ZSTD_getErrorName(stored));
    return false;
  }
  const size_t size = sizeof header + stored;
  header.kind = chunk.kind;
  header.stored = static_cast<uint32_t>(stored);
  header.size = static_cast<uint32_t>(payload.size());
  header.first_event = chunk.first_event;
  header.events = chunk.events;
  std::memcpy(out_.data(), &header, sizeof header);
  header.checksum = XXH64(out_.data(), size, 0);
  std::memcpy(out_.data(), &header, sizeof header);
  // One write per chunk: a killed recorder leaves at most one incomplete chunk, at the end.
  size_t done = 0;
  while (done < size) {
    const ssize_t put = ::write(fd_, out_.data() + done, size - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      fail("writing " + path_.string() + ": " + std::strerror(put < 0 ? errno : ENOSPC));
      return false;
    }
    done += static_cast<size_t>(put);
  }
  bytes_ += size;
  return true;
}

void ChunkFile::give_up(const std::string& why) {
  wait(submitted_);
  if (!failed_) fail(why);
}

// What is whole stays: a chunk that was not written to its end is taken back.
void ChunkFile::fail(const std::string& why) {
  failure_ = why;
  if (fd_ >= 0 && ftruncate(fd_, static_cast<off_t>(bytes_.load())) != 0)
    *failure_ += "; and the part that was written cannot be taken back";
  failed_.store(true, std::memory_order_release);
}

void ChunkFile::close() {
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  if (fd_ < 0) return;
  const int code = ::close(fd_) != 0 ? errno : 0;
  fd_ = -1;
  if (code != 0 && !failed_) fail("closing " + path_.string() + ": " + std::strerror(code));
}

}  // namespace heddle
