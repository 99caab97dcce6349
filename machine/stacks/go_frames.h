// Frames of Go, and the ways from one stack of a thread to another.
#pragma once

#include <map>
#include <optional>

#include "machine/stacks/go_thread.h"
#include "machine/stacks/stack_position.h"
#include "machine/stacks/symbols.h"

namespace heddle {

// One walk up one thread's stacks. A goroutine has a stack of its own; C, and parts of the runtime,
// run on the thread's. So a walk goes from the thread's stack to the goroutine's where Go called C
// (runtime.asmcgocall, which leaves the goroutine and its stack's depth in its frame) or its own
// scheduler (runtime.systemstack, mcall, morestack: g.sched), and back to the thread's where C
// called Go (runtime.cgocallback).
class GoFrames {
 public:
  // Offsets for modules, kept from walk to walk.
  using Layouts = std::map<const LoadedModule*, std::optional<GoLayout>>;

  GoFrames(const Symbols& symbols, Layouts& layouts, const GuestMemory& memory, uint64_t fs_base);

  // Goes from a frame of `function` in `module` to its caller's. False where there is none, or none
  // that can be believed.
  bool step(const LoadedModule& module, const GoFunctions::Function& function,
            StackPosition& position);

  // For a frame on the thread's stack that nothing else leads out of: goes to where the goroutine
  // that the thread runs for left its stack, unless the walk has changed stacks before.
  bool step_to_goroutine(StackPosition& position);

 private:
  const std::optional<GoThread>& thread(const LoadedModule& module);
  bool leave_thread_stack(const LoadedModule& module, StackPosition& position);
  bool leave_asmcgocall(const LoadedModule& module, StackPosition& position);
  bool change_stack(const LoadedModule& module, const GoFunctions::Function& function,
                    StackPosition& position);
  bool pop(const LoadedModule& module, const GoFunctions::Function& function,
           StackPosition& position);

  const Symbols& symbols_;
  Layouts& layouts_;
  const GuestMemory& memory_;
  uint64_t fs_base_;
  bool thread_known_ = false;
  std::optional<GoThread> thread_;
  uint64_t left_ = 0;  // stack pointer where the walk last left the thread's stack
  bool changed_ = false;
};

}  // namespace heddle
