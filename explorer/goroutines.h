// Which logical thread a task's accesses belong to, where the program is Go.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "explorer/race_detector.h"
#include "machine/guest_memory.h"
#include "machine/stacks/symbols.h"
#include "machine/tracee/guest_cpu.h"

namespace heddle {

// Goroutines are strands; in other programs, and outside of goroutines, every task is one. Go's
// runtime is watched at the functions that switch goroutines, start them and pass values between
// them; what it does inside orders nothing that the program wrote (see DESIGN: its own locks order
// nearly everything in a serialised run). Names and registers are those of Go 1.17 and later
// (src/cmd/compile/abi-internal.md), field offsets those of runtime2.go.
//
// Strands of one g structure are one: a goroutine that reuses an ended one's continues its strand,
// after the go statement that started it. A select is ordered with all channel operations.
class Goroutines {
 public:
  // The guest address of a symbol, or nothing.
  using AddressOf = std::function<std::optional<uint64_t>(const std::string&)>;

  explicit Goroutines(const AddressOf& address_of);
  explicit Goroutines(const Symbols& symbols)
      : Goroutines(
            AddressOf([&symbols](const std::string& name) { return symbols.address_of(name); })) {}

  bool present() const { return !calls_.empty(); }
  // For translator::Options::calls.
  const std::map<uint64_t, Register>& calls() const { return calls_; }

  StrandId strand(TaskId task);
  // A strand of the caller's kind; the keys below 2^62 are tasks and goroutines.
  StrandId numbered(uint64_t key);
  // A logged call; `argument` is its watched register.
  void called(TaskId task, const LogEntry& entry, RaceDetector& detector);
  // `strand` is back in the program's own code: what its last channel operation waited for has
  // happened.
  void back_in_program(StrandId strand, RaceDetector& detector);
  // Is this memory that only the strand's own code uses: a goroutine's stack, and while it runs C
  // code that of the task and its thread-local block? Any goroutine's: what others may refer to is
  // not placed on a stack, and an ended one's stack is the next one's.
  bool private_to(TaskId task, uint64_t address) const;
  // Before the entries of a task's segment are looked at: learns the bounds of its stacks.
  void begin_segment(TaskId task, const std::vector<LogEntry>& segment, uint64_t fs_base,
                     const GuestMemory& memory);
  // Code of Go's runtime, by its function's name.
  static bool runtime(const std::string& function);

 private:
  enum class Watched : uint8_t { go_to, start, queue, send, receive, close, select, pool, collect };
  struct Range {
    uint64_t start = 0, end = 0;
    bool contains(uint64_t address) const { return address >= start && address < end; }
  };
  void watch(const AddressOf& address_of, const char* function, Register argument, Watched what);
  void order(StrandId strand, uint64_t released, uint64_t awaited, RaceDetector& detector);

  std::map<uint64_t, Register> calls_;
  std::map<uint64_t, Watched> watched_;
  std::map<uint64_t, StrandId> by_key_;  // by g; keys below 2^32 are TaskIds
  std::map<TaskId, uint64_t> running_;   // the g of each task
  std::map<TaskId, StrandId> starting_;  // tasks in a go statement: whose it is
  std::map<StrandId, std::vector<uint64_t>> awaited_;
  std::map<uint64_t, uint64_t> stacks_;  // ends by starts, of goroutines since the last collection
  std::map<TaskId, Range> system_stack_, thread_local_;
};

}  // namespace heddle
