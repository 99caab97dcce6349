// What the runtime is told of descriptors: which may be others now, and which it may write to.
#include <sched.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>

#include "machine/runtime/served_calls.h"
#include "recorder/recorder.h"

namespace heddle {
namespace {

constexpr uint64_t kKinds = layout::kRuntimeData.start + offsetof(heddle_runtime_data, descriptors);
using Kinds = std::array<uint8_t, HEDDLE_DESCRIPTORS>;

}  // namespace

// `child` is new, and a process. One that shares the memory has what is known in it of its
// parent's, until it calls execve (vfork(2)); one with a copy of it has a copy of that too.
void Recorder::share_descriptors(Process& parent, Process& child, const CloneArguments& wanted) {
  const bool shares_memory = wanted.flags & CLONE_VM,
             shares_descriptors = wanted.flags & CLONE_FILES;
  child.own_descriptors = !shares_memory && !shares_descriptors;
  if (shares_descriptors && !shares_memory) parent.own_descriptors = false;
  if (child.own_descriptors && !parent.own_descriptors)
    child.space->process.memory().store(kKinds, Kinds{});
}

// After a call that the runtime did not make.
void Recorder::follow_descriptors(Task& task, const event::Syscall& e) {
  auto& memory = task.memory();
  const auto forget = [&](uint64_t descriptor) {
    if (descriptor < HEDDLE_DESCRIPTORS) memory.store<uint8_t>(kKinds + descriptor, HEDDLE_UNKNOWN);
  };
  switch (e.number) {
    case SYS_close:
    case SYS_setsockopt:
      forget(e.arguments[0]);
      break;
    case SYS_dup2:
    case SYS_dup3:
      forget(e.arguments[1]);
      break;
    case SYS_close_range:
      memory.store(kKinds, Kinds{});
      break;
    case SYS_unshare:
      if (e.arguments[0] & CLONE_FILES) task.process->own_descriptors = false;
      break;
    default:
      break;
  }
}

// The call wrote to a file that nothing shows: the next may be made without us, until something is
// mapped.
void Recorder::serve_writes(Task& task, const event::Syscall& e) {
  if (e.number != SYS_write && e.number != SYS_writev && e.number != SYS_pwrite64) return;
  if (e.arguments[0] >= HEDDLE_DESCRIPTORS || !task.process->own_descriptors) return;
  task.memory().store<uint8_t>(kKinds + e.arguments[0], HEDDLE_FILE | HEDDLE_WRITES);
  task.process->space->served_writes = true;
}

void Recorder::stop_writes() {
  std::set<Space*> seen;
  for (auto& [id, task] : tasks_) {
    Space& space = *task->process->space;
    if (!space.served_writes || !seen.insert(&space).second) continue;
    space.served_writes = false;
    auto kinds = task->memory().load<Kinds>(kKinds).value_or(Kinds{});
    for (auto& kind : kinds)
      if (kind & HEDDLE_WRITES) kind = HEDDLE_UNKNOWN;
    task->memory().store(kKinds, kinds);
  }
}

}  // namespace heddle
