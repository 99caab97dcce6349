// A guest in a process of its own, under ptrace: slow, and apart from everything else.
#pragma once

#include "explorer/model_guest.h"
#include "replayer/guest.h"

namespace heddle {

class TracedGuest final : public ModelGuest {
 public:
  explicit TracedGuest(std::unique_ptr<Guest> guest) : guest_(std::move(guest)) {}

  // A copy by fork.
  std::shared_ptr<ModelGuest> start_run() override {
    return std::make_shared<TracedGuest>(guest_->fork());
  }
  GuestMemory& memory() override { return guest_->memory(); }
  TaskContext& task(TaskId task) override { return guest_->task(task); }
  Exit run(TaskId task, Ticks budget, uint64_t points) override {
    return guest_->run(task, budget, points);
  }
  std::optional<Exit> run_to(const Place& place) override { return guest_->run_to(place); }
  void add_task(TaskId parent, TaskId child, const SyscallRequest& request) override {
    guest_->add_task(parent, child, request);
  }
  void remove_task(TaskId task) override { guest_->remove_task(task); }
  int64_t perform(const SyscallRequest& request, std::optional<int64_t> expected,
                  const std::optional<FileRange>& file) override {
    return guest_->perform(request, expected, file);
  }
  bool push_frame(TaskId task, SignalState& signals, const SignalInfo& info,
                  std::optional<uint64_t> mask_to_restore) override {
    return guest_->push_frame(task, signals, info, mask_to_restore);
  }
  bool pop_frame(TaskId task, SignalState& signals) override {
    return guest_->pop_frame(task, signals);
  }

 private:
  std::unique_ptr<Guest> guest_;
};

}  // namespace heddle
