// A guest as a run under the model kernel sees it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/kernel.h"
#include "machine/tracee/guest_cpu.h"
#include "machine/tracee/signal_state.h"
#include "trace_format/event.h"

namespace heddle {

// All operations mean the same in every implementation, so that a schedule leads to the same run.
class ModelGuest {
 public:
  virtual ~ModelGuest() = default;

  // A guest in this one's present state, for a run that goes its own way: a copy, or this guest
  // itself, which comes back to that state when it is asked again. No more than one run at a time.
  virtual std::shared_ptr<ModelGuest> start_run() = 0;

  virtual GuestMemory& memory() = 0;
  // Of the process that the task is one of.
  virtual GuestMemory& memory(TaskId) { return memory(); }
  // Throws std::out_of_range where there is none.
  virtual TaskContext& task(TaskId task) = 0;

  // As Guest's functions of these names (replayer/guest.h).
  virtual Exit run(TaskId task, Ticks budget, uint64_t points = GuestCpu::kUnlimited) = 0;
  virtual std::optional<Exit> run_to(const Place& place) = 0;
  virtual void add_task(TaskId parent, TaskId child, const SyscallRequest& request) = 0;
  // As add_task, where the child gets a copy of the memory (fork).
  virtual void fork_task(TaskId parent, TaskId child, const SyscallRequest& request) = 0;
  virtual void remove_task(TaskId task) = 0;
  virtual int64_t perform(const SyscallRequest& request, std::optional<int64_t> expected,
                          const std::optional<FileRange>& file) = 0;
  virtual bool push_frame(TaskId task, SignalState& signals, const SignalInfo& info,
                          std::optional<uint64_t> mask_to_restore = std::nullopt) = 0;
  virtual bool pop_frame(TaskId task, SignalState& signals) = 0;

  SyscallRequest request(TaskId id) { return task(id).request(); }
  void complete(TaskId id, int64_t result) { task(id).complete_call(result); }
  void complete(TaskId id, const event::Instruction& answer, unsigned length) {
    complete_instruction(answer, length, task(id).registers);
  }
  // Throws std::runtime_error where an effect falls on unmapped memory.
  void apply(TaskId task, const std::vector<MemoryEffect>& effects);
};

}  // namespace heddle
