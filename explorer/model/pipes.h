// What flows between a program's own tasks: pipes, socket pairs and event counters.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace heddle::model {

// pipe(7), or one direction of a socket pair. A value.
class Pipe {
 public:
  static constexpr size_t kCapacity = 65536;  // bytes
  static constexpr size_t kAtomic = 4096;     // PIPE_BUF

  // No more than `most` bytes; what was written first.
  std::vector<uint8_t> read(size_t most);
  // As many of `bytes` as there is room for, and all or none of up to kAtomic; returns how many.
  size_t write(std::span<const uint8_t> bytes);

  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  bool has_room() const { return kCapacity - bytes_.size() >= kAtomic; }

  uint32_t readers = 0, writers = 0;  // open ends
  // A child wrote more behind these, which nobody read when that was recorded.
  bool more_unknown = false;

 private:
  std::deque<uint8_t> bytes_;
};

// eventfd(2). A value.
class EventCounter {
 public:
  EventCounter(uint64_t initial, bool semaphore) : count_(initial), semaphore_(semaphore) {}

  // Nothing while it is 0.
  std::optional<uint64_t> read();
  // False where the sum would not fit.
  bool write(uint64_t value);

  bool readable() const { return count_ > 0; }
  bool writable() const { return count_ < kMost; }

 private:
  static constexpr uint64_t kMost = ~uint64_t{0} - 1;
  uint64_t count_ = 0;
  bool semaphore_ = false;
};

}  // namespace heddle::model
