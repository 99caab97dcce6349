#include "explorer/model/pipes.h"

#include <algorithm>

namespace heddle::model {

std::vector<uint8_t> Pipe::read(size_t most) {
  const auto end = bytes_.begin() + static_cast<std::ptrdiff_t>(std::min(most, bytes_.size()));
  std::vector<uint8_t> taken(bytes_.begin(), end);
  bytes_.erase(bytes_.begin(), end);
  return taken;
}

size_t Pipe::write(std::span<const uint8_t> bytes) {
  const size_t room = kCapacity - bytes_.size();
  if (bytes.size() <= kAtomic && bytes.size() > room) return 0;
  const size_t count = std::min(bytes.size(), room);
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

std::optional<uint64_t> EventCounter::read() {
  if (count_ == 0) return std::nullopt;
  const uint64_t value = semaphore_ ? 1 : count_;
  count_ -= value;
  return value;
}

bool EventCounter::write(uint64_t value) {
  if (value > kMost - count_) return false;
  count_ += value;
  return true;
}

}  // namespace heddle::model
