// What the outside answered in the recorded run, for a program that asks in another order.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "explorer/model/recording.h"

namespace heddle::model {

// Each answer of the recording is given once, to the call that fits best: of the same object, then
// with equal arguments, then of the same task, then from the same code; the first of several.
// Questions whose answer does not change (who am I, how many processors) are answered again. A
// value.
class RecordedAnswers {
 public:
  explicit RecordedAnswers(std::shared_ptr<const Recording> recording);

  // `object`: what the call's descriptor names.
  SyscallAnswer answer(const SyscallRequest& request, std::optional<ObjectId> object);
  // The event that answers, which is used up then; nothing: there is none left.
  std::optional<size_t> take(const SyscallRequest& request, std::optional<ObjectId> object);
  // Is there an answer left to such a call on the object that is no error?
  bool left(uint64_t number, ObjectId object) const;
  // The event's answer to `request`: effects where its arguments point.
  SyscallAnswer adapt(size_t event, const SyscallRequest& request) const;

  // The file that a mapping showed.
  std::optional<FileRange> mapped_file(const SyscallRequest& request,
                                       std::optional<ObjectId> object) const;

  const Recording& recording() const { return *recording_; }

 private:
  std::optional<size_t> best(const SyscallRequest& request, std::optional<ObjectId> object,
                             bool used) const;

  std::shared_ptr<const Recording> recording_;
  std::vector<bool> used_;                 // by event
  std::map<uint64_t, size_t> first_left_;  // by system call: how many are used up from the start
};

}  // namespace heddle::model
