// Contents of what the program reads from outside, as far as the recording knows them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "explorer/model/recording.h"

namespace heddle::model {

// What open(2) made has content by position, and what the program writes to it is read back;
// everything else is a stream, whose bytes go to who asks first. A value.
class OutsideFiles {
 public:
  explicit OutsideFiles(std::shared_ptr<const Recording> recording)
      : recording_(std::move(recording)) {}

  // At most `most` bytes, none: the end. Nothing: the recording does not tell.
  std::optional<std::vector<uint8_t>> read(ObjectId file, uint64_t position, uint64_t most) const;
  std::optional<std::vector<uint8_t>> read_stream(ObjectId stream, uint64_t most);
  // What a stream would give next.
  enum class Next : uint8_t { bytes, end, unknown };
  Next next(ObjectId stream) const;
  // Is what came at one time read, and more of it than nothing left?
  bool between_reads(ObjectId stream) const;
  void write(ObjectId file, uint64_t position, const std::vector<uint8_t>& bytes);

 private:
  struct Consumed {
    size_t reads = 0;  // whole ones
    size_t bytes = 0;  // of the next one
  };
  // A recorded read with the byte at `position`, or one that says that there is none.
  const RecordedRead* covering(ObjectId file, uint64_t position) const;

  std::shared_ptr<const Recording> recording_;
  std::map<ObjectId, Consumed> consumed_;
  std::map<ObjectId, std::map<uint64_t, uint8_t>> written_;
};

}  // namespace heddle::model
