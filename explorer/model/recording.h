// A recording, indexed for answering a program that asks in another order.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "explorer/model/recorded_children.h"
#include "machine/kernel.h"
#include "machine/tracee/signal_state.h"

namespace heddle::model {

// Descriptors 0, 1 and 2 at the beginning.
inline constexpr ObjectId kStandardInput = 1, kStandardOutput = 2, kStandardError = 3;

// One result of reading an object.
struct RecordedRead {
  uint64_t position = 0;  // where it began, for objects that have one
  uint64_t wanted = 0;    // bytes
  int64_t result = 0;
  std::vector<uint8_t> bytes;
};

// A signal that was taken, but no fault's.
struct RecordedSignal {
  uint64_t time = 0;  // ns of virtual time, had the recorded run been the model's
  SignalInfo info;
};

// Of the process that the recording begins with. Not changed once it is made.
class Recording {
 public:
  explicit Recording(std::shared_ptr<const std::vector<Event>> events);

  const event::Syscall& call(size_t event) const {
    return std::get<event::Syscall>((*events_)[event].body);
  }
  const Place& place(size_t event) const { return (*events_)[event].place; }
  size_t size() const { return events_->size(); }

  // The events of the calls that returned, in order.
  std::span<const size_t> calls(uint64_t number) const;
  // What the call's descriptor argument named; nothing where it has none.
  std::optional<ObjectId> object_of(size_t event) const;
  // What the call made: an opened file; a pair, reader or first socket first.
  std::span<const ObjectId> made_by(size_t event) const;
  // Reads of an object in order, readv and pread64 too.
  std::span<const RecordedRead> reads(ObjectId object) const;
  // Did the recorded run make such a call on it?
  bool asked(uint64_t number, ObjectId object) const { return asked_.contains({number, object}); }
  // Has it content by position: did open(2) make it?
  bool is_file(ObjectId object) const { return files_.contains(object); }
  // Open when the program begins.
  const std::map<int, ObjectId>& inherited() const { return inherited_; }
  std::span<const RecordedSignal> signals() const { return signals_; }
  // Is it a task of a process that the first one made?
  bool other_process(TaskId task) const { return others_.contains(task); }
  // The kernel's numbers of tasks.
  const std::map<TaskId, int64_t>& tids() const { return tids_; }
  // What its children did; empty where there were none.
  const RecordedChildren& children() const { return children_; }

 private:
  void index(size_t number, const Event& event, const event::Syscall& call);
  ObjectId object(int descriptor);
  ObjectId make(int descriptor);
  void note_made(size_t event, ObjectId object) { made_by_[event].push_back(object); }
  void index_made(size_t number, const event::Syscall& call);
  void index_read(const event::Syscall& call, ObjectId object);

  std::shared_ptr<const std::vector<Event>> events_;
  std::unordered_map<uint64_t, std::vector<size_t>> calls_;
  std::unordered_map<size_t, ObjectId> object_of_;
  std::unordered_map<size_t, std::vector<ObjectId>> made_by_;
  std::map<ObjectId, std::vector<RecordedRead>> reads_;
  std::set<std::pair<uint64_t, ObjectId>> asked_;
  std::set<ObjectId> files_;
  std::map<int, ObjectId> inherited_;
  std::map<TaskId, int64_t> tids_;
  std::set<TaskId> others_;
  std::vector<RecordedSignal> signals_;
  RecordedChildren children_;

  // While it is made.
  std::map<int, ObjectId> open_;
  std::map<ObjectId, uint64_t> position_;
  std::set<int> known_;  // descriptors that were open at some time
  ObjectId last_object_ = kStandardError;
};

// The descriptors that a completed call made of something new, not what dup made; a pair in order.
std::vector<int> made_descriptors(const event::Syscall& call);

// The flags (O_*) that a call which makes or duplicates a descriptor was given.
int descriptor_flags(uint64_t number, const std::array<uint64_t, 6>& arguments);

// Which argument is a descriptor, of calls that have one.
std::optional<size_t> descriptor_argument(const SyscallRequest& request);

}  // namespace heddle::model
