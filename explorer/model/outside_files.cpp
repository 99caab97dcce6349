#include "explorer/model/outside_files.h"

#include <algorithm>

namespace heddle::model {

const RecordedRead* OutsideFiles::covering(ObjectId file, uint64_t position) const {
  const RecordedRead* end = nullptr;
  for (const RecordedRead& read : recording_->reads(file)) {
    if (position >= read.position && position - read.position < read.bytes.size()) return &read;
    if (read.result == 0 && read.wanted > 0 && position >= read.position) end = &read;
  }
  return end;
}

std::optional<std::vector<uint8_t>> OutsideFiles::read(ObjectId file, uint64_t position,
                                                       uint64_t most) const {
  std::vector<uint8_t> bytes;
  const auto overlay = written_.find(file);
  const auto own = [&](uint64_t at) -> const uint8_t* {
    if (overlay == written_.end()) return nullptr;
    const auto found = overlay->second.find(at);
    return found == overlay->second.end() ? nullptr : &found->second;
  };
  while (bytes.size() < most) {
    const uint64_t at = position + bytes.size();
    const RecordedRead* known = covering(file, at);
    if (!known || known->bytes.empty()) {
      if (const uint8_t* byte = own(at)) {
        bytes.push_back(*byte);
        continue;
      }
      if (!known) return std::nullopt;
      return bytes;  // the end of the file
    }
    const uint64_t from = at - known->position;
    const uint64_t count = std::min(most - bytes.size(), known->bytes.size() - from);
    for (uint64_t i = 0; i < count; ++i) {
      const uint8_t* byte = own(at + i);
      bytes.push_back(byte ? *byte : known->bytes[from + i]);
    }
    // It gave less than was wanted there: so it does here.
    if (from + count == known->bytes.size() && known->bytes.size() < known->wanted) return bytes;
  }
  return bytes;
}

std::optional<std::vector<uint8_t>> OutsideFiles::read_stream(ObjectId stream, uint64_t most) {
  const auto reads = recording_->reads(stream);
  Consumed& consumed = consumed_[stream];
  if (consumed.reads == reads.size()) return std::nullopt;
  const auto& bytes = reads[consumed.reads].bytes;
  const bool last = consumed.reads + 1 == reads.size();
  if (bytes.empty()) {
    if (!last) ++consumed.reads;  // the last end of a stream stays its end
    return bytes;
  }
  const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(consumed.bytes);
  const uint64_t count = std::min<uint64_t>(most, bytes.size() - consumed.bytes);
  consumed.bytes += count;
  if (consumed.bytes == bytes.size()) consumed = {consumed.reads + 1, 0};
  return std::vector<uint8_t>(from, from + static_cast<std::ptrdiff_t>(count));
}

OutsideFiles::Next OutsideFiles::next(ObjectId stream) const {
  const auto reads = recording_->reads(stream);
  const auto consumed = consumed_.find(stream);
  const size_t number = consumed == consumed_.end() ? 0 : consumed->second.reads;
  if (number == reads.size()) return Next::unknown;
  return reads[number].bytes.empty() ? Next::end : Next::bytes;
}

bool OutsideFiles::between_reads(ObjectId stream) const {
  const auto consumed = consumed_.find(stream);
  return consumed != consumed_.end() && consumed->second.bytes == 0;
}

void OutsideFiles::write(ObjectId file, uint64_t position, const std::vector<uint8_t>& bytes) {
  auto& own = written_[file];
  for (size_t i = 0; i < bytes.size(); ++i) own[position + i] = bytes[i];
}

}  // namespace heddle::model
