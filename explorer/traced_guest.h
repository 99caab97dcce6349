// A guest in a process of its own, under ptrace: slow, and apart from everything else.
#pragma once

#include <map>
#include <memory>

#include "explorer/model_guest.h"
#include "replayer/guest.h"

namespace heddle {

class TracedGuest final : public ModelGuest {
 public:
  explicit TracedGuest(std::unique_ptr<Guest> guest) : guest_(std::move(guest)) {}

  // A copy by fork.
  std::shared_ptr<ModelGuest> start_run() override {
    auto copy = std::make_shared<TracedGuest>(guest_->fork());
    for (const auto& [task, guest] : forked_) copy->forked_.emplace(task, guest->fork());
    return copy;
  }
  GuestMemory& memory() override { return guest_->memory(); }
  GuestMemory& memory(TaskId task) override { return of(task).memory(); }
  TaskContext& task(TaskId task) override { return of(task).task(task); }
  Exit run(TaskId task, Ticks budget, uint64_t points) override {
    return of(task).run(task, budget, points);
  }
  std::optional<Exit> run_to(const Place& place) override { return of(place.task).run_to(place); }
  void add_task(TaskId parent, TaskId child, const SyscallRequest& request) override {
    of(parent).add_task(parent, child, request);
  }
  void fork_task(TaskId parent, TaskId child, const SyscallRequest& request) override {
    forked_[child] = of(parent).fork_process(parent, child, request);
  }
  void remove_task(TaskId task) override {
    if (forked_.erase(task) == 0) guest_->remove_task(task);
  }
  int64_t perform(const SyscallRequest& request, std::optional<int64_t> expected,
                  const std::optional<FileRange>& file) override {
    return of(request.place.task).perform(request, expected, file);
  }
  bool push_frame(TaskId task, SignalState& signals, const SignalInfo& info,
                  std::optional<uint64_t> mask_to_restore) override {
    return of(task).push_frame(task, signals, info, mask_to_restore);
  }
  bool pop_frame(TaskId task, SignalState& signals) override {
    return of(task).pop_frame(task, signals);
  }

 private:
  Guest& of(TaskId task) {
    const auto forked = forked_.find(task);
    return forked == forked_.end() ? *guest_ : *forked->second;
  }

  std::unique_ptr<Guest> guest_;
  std::map<TaskId, std::unique_ptr<Guest>> forked_;  // by their only task
};

}  // namespace heddle
