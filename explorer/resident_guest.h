// A guest inside this very process: a run costs neither stops nor a fork.
#pragma once

#include <map>
#include <memory>

#include "explorer/model_guest.h"
#include "machine/resident/resident_cpu.h"
#include "replayer/guest.h"

namespace heddle {

// At most one in a process, which must have one thread and should be there for nothing else: what a
// guest that has gone wild overwrites may be ours. What was found here is to be confirmed with a
// TracedGuest.
class ResidentGuest final : public ModelGuest {
 public:
  // As Guest's. Throws ResidentUnavailable where this process cannot hold the guest.
  ResidentGuest(const event::Exec& exec, PinnedFiles files, const translator::Options& options);

  std::shared_ptr<ModelGuest> start_run() override;
  using ModelGuest::memory;
  GuestMemory& memory() override { return memory_; }
  TaskContext& task(TaskId task) override;
  Exit run(TaskId task, Ticks budget, uint64_t points) override;
  std::optional<Exit> run_to(const Place& place) override;
  void add_task(TaskId parent, TaskId child, const SyscallRequest& request) override;
  void fork_task(TaskId parent, TaskId child, const SyscallRequest& request) override;
  void remove_task(TaskId task) override;
  int64_t perform(const SyscallRequest& request, std::optional<int64_t> expected,
                  const std::optional<FileRange>& file) override;
  bool push_frame(TaskId task, SignalState& signals, const SignalInfo& info,
                  std::optional<uint64_t> mask_to_restore) override;
  bool pop_frame(TaskId task, SignalState& signals) override;

 private:
  struct Task {
    TaskContext context;
    ExtendedRegisters extended;
  };
  struct State {  // beside the memory: what start_run() goes back to
    std::map<TaskId, Task> tasks;
    uint64_t brk = 0;
  };
  Task& full(TaskId task);
  int64_t remap(const SyscallRequest& request, std::optional<int64_t> expected,
                const std::optional<FileRange>& file);
  int64_t map_file(uint64_t address, uint64_t size, uint64_t prot, const FileRange& file);

  ResidentMemory memory_;
  ResidentCpu cpu_;
  PinnedFiles files_;
  uint64_t brk_start_ = 0;
  State now_, marked_;
  bool is_marked_ = false;
};

}  // namespace heddle
