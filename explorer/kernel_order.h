// The edges between tasks that the kernel's objects make.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "explorer/model/recording.h"
#include "explorer/race_detector.h"

namespace heddle {

// What is written to a pipe, a socket or an event counter comes before what is read from it later;
// what makes a descriptor ready before a wait that finds some ready; a close before the open that
// gets the number. Sockets of a network are one object, since which two are connected is not known.
// Contents of files order nobody.
class KernelOrder {
 public:
  explicit KernelOrder(std::shared_ptr<const std::vector<Event>> events)
      : recording_(std::move(events)) {}

  // The same call gave out numbers: they are free after the closes of who had them before.
  void gave_numbers(size_t number, StrandId strand, RaceDetector& detector) const;
  // The completed call that is event `number` of the run.
  void completed(size_t number, StrandId strand, RaceDetector& detector);
  // Does `task` belong to the process that the recording begins with?
  bool own(TaskId task) const { return !recording_.other_process(task); }

 private:
  uint64_t object(model::ObjectId id) const;

  model::Recording recording_;
  std::map<model::ObjectId, model::ObjectId> other_end_;
  std::map<model::ObjectId, bool> network_;
};

}  // namespace heddle
