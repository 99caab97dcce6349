// Frames of C, C++ and whatever else has call frame information, by libunwind.
#pragma once

#include <map>
#include <memory>

#include "machine/guest_memory.h"
#include "machine/stacks/debug_frame_table.h"
#include "machine/stacks/stack_position.h"
#include "machine/stacks/symbols.h"

namespace heddle {

// Uses .eh_frame by its search table, as the guest has it in memory, and .debug_frame of the file
// for code that .eh_frame does not describe.
class CallFrames {
 public:
  enum class Step : uint8_t {
    stepped,    // the position is the caller's
    outermost,  // the frame says that nothing called it
    unknown,    // no information for this code, or it does not fit the stack
  };

  // `symbols` must outlive this. Throws std::bad_alloc.
  explicit CallFrames(const Symbols& symbols);
  ~CallFrames();
  CallFrames(const CallFrames&) = delete;
  CallFrames& operator=(const CallFrames&) = delete;

  Step step(const GuestMemory& memory, StackPosition& position) const;

 private:
  struct Access;
  const DebugFrameTable& debug_frame(const LoadedModule& module) const;

  const Symbols& symbols_;
  void* space_ = nullptr;  // unw_addr_space_t
  mutable std::map<const LoadedModule*, std::unique_ptr<DebugFrameTable>> debug_frames_;
};

}  // namespace heddle
