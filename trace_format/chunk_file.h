// The file `events` of a trace that is being written. Chunks are compressed and written in their
// order, those that are submitted by a thread of the file's own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

struct ZSTD_CCtx_s;

namespace heddle {

struct Chunk {
  uint16_t kind = 0;  // chunk::Kind
  std::vector<uint8_t> payload;
  uint64_t first_event = 0;
  uint32_t events = 0;
  // Of one that is submitted: makes the payload, in the file's thread. Why it cannot, if it cannot.
  std::function<std::optional<std::string>(std::vector<uint8_t>& payload)> make{};
};

// Used by one thread. Once a chunk could not be written none after it is: failure() says why, and
// the file ends with the last whole one.
class ChunkFile {
 public:
  // Creates the file (mode 0600). Throws std::system_error.
  explicit ChunkFile(std::filesystem::path file);
  ~ChunkFile();  // waits for the chunks that were submitted
  ChunkFile(const ChunkFile&) = delete;
  ChunkFile& operator=(const ChunkFile&) = delete;

  // The chunk is written some time later: when wait() has returned for the number given here.
  uint64_t submit(Chunk chunk);
  void wait(uint64_t number);
  // Writes it, behind all that were submitted. False where it cannot.
  bool write(const Chunk& chunk);
  // Nothing is written any more.
  void give_up(const std::string& why);
  // After the last chunk. A failure too may come of it.
  void close();

  const std::optional<std::string>& failure() const;
  uint64_t bytes() const { return bytes_; }  // written
  // A payload that was written, to be filled again; empty.
  std::vector<uint8_t> spare();

 private:
  void run();
  bool store(const Chunk& chunk);
  void fail(const std::string& why);

  std::filesystem::path path_;
  int fd_ = -1;
  ZSTD_CCtx_s* compressor_;
  std::vector<uint8_t> out_;  // store()'s
  std::atomic<uint64_t> bytes_ = 0;
  std::optional<std::string> failure_;  // unchanged once failed_ is true
  std::atomic<bool> failed_ = false;

  std::thread thread_;  // runs from the first submit() on
  std::mutex mutex_;    // for what follows
  std::condition_variable changed_;
  std::deque<Chunk> queue_;
  std::vector<uint8_t> spare_;
  uint64_t submitted_ = 0, done_ = 0;
  bool over_ = false;
};

}  // namespace heddle
