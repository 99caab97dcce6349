// Call stacks of a stopped task, through C, C++, Go and signal handlers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "machine/guest_memory.h"
#include "machine/stacks/symbols.h"
#include "trace_format/registers.h"

namespace heddle {

struct Frame {
  // Guest address of the next instruction of this frame: of a caller, the return address.
  uint64_t pc = 0;
  uint64_t sp = 0;
  // Empty or zero where they are not known. Of a caller, the line is that of the call.
  std::string function, file;
  uint32_t line = 0;
  std::string module;    // path of the file that holds the code
  bool inlined = false;  // has no frame of its own: pc and sp are those of the next one outwards
  bool operator==(const Frame&) const = default;
};

// The function of a frame that the kernel made for a signal: what is further out was interrupted.
inline constexpr std::string_view kSignalFrame = "<signal handler called>";

// A frame is left by what its code says: the Go function table, call frame information. Where code
// has neither, its caller is guessed: by the word at the top of the stack if that is a return
// address, and as a last resort by the frame pointer. A guess that does not fit the stack ends the
// walk. So does anything else that is not as it should be: a stack may be cut short, and is
// never an error. Wrappers that Go's compiler made are left out, and goroutines that no task runs
// have no stack here.
class Unwinder {
 public:
  // Modules as they are mapped when the tasks are stopped. As lazy as Symbols, and no more for two
  // threads at once.
  explicit Unwinder(const std::vector<Module>& modules);
  // `symbols` must outlive this.
  explicit Unwinder(const Symbols& symbols);
  ~Unwinder();
  Unwinder(const Unwinder&) = delete;
  Unwinder& operator=(const Unwinder&) = delete;

  // At most `limit` frames, innermost first. Never empty, unless limit is 0.
  std::vector<Frame> stack(const GuestMemory& memory, const Registers& registers,
                           size_t limit = 64) const;

  const Symbols& symbols() const;

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
};

}  // namespace heddle
