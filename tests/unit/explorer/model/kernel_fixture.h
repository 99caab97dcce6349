// A model kernel over memory without a guest, and recordings made by hand.
#pragma once

#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <cstring>

#include "explorer/model_kernel.h"
#include "tests/unit/explorer/fake_memory.h"

namespace heddle {

// A recording whose events are told one after the other.
class RecordingMaker {
 public:
  explicit RecordingMaker(event::Exec program = {}) { add(1, std::move(program)); }

  RecordingMaker& call(TaskId task, uint64_t number, std::array<uint64_t, 6> arguments,
                       int64_t result, std::vector<MemoryEffect> effects = {}) {
    event::Syscall call;
    call.number = static_cast<uint32_t>(number);
    call.arguments = arguments;
    call.result = result;
    call.effects = std::move(effects);
    return add(task, std::move(call));
  }
  RecordingMaker& add(TaskId task, EventBody body, Ticks ticks = 0, uint64_t pc = 0x1000) {
    Event event;
    event.number = events_.size();
    event.place = {task, ticks, pc, 0};
    event.body = std::move(body);
    events_.push_back(std::move(event));
    return *this;
  }
  std::shared_ptr<const std::vector<Event>> events() const {
    return std::make_shared<const std::vector<Event>>(events_);
  }

 private:
  std::vector<Event> events_;
};

inline MemoryEffect bytes_at(uint64_t address, std::string_view text) {
  return {address, {text.begin(), text.end()}};
}

class KernelTest : public testing::Test {
 protected:
  static constexpr uint64_t kData = 0x10000;    // mapped, zero at first
  static constexpr uint64_t kBuffer = 0x11000;  // likewise
  static constexpr uint64_t kUnmapped = 0x90000000;
  static constexpr int64_t kPid = 500;

  KernelTest() { memory.map(kData, 0x4000); }

  // With the recording that `recorded` holds; task 1 runs, its number is kPid.
  ModelKernel& kernel() {
    if (!kernel_) {
      kernel_.emplace(recorded.events());
    }
    return *kernel_;
  }
  // As the explorer does it: effects are written at once.
  SyscallAnswer call(TaskId task, uint64_t number, std::array<uint64_t, 6> arguments = {},
                     uint64_t pc = 0x1000) {
    SyscallRequest request;
    request.number = number;
    request.arguments = arguments;
    request.place = {task, 0, pc, 0};
    SyscallAnswer answer = kernel().answer(request, memory);
    memory.apply(answer.effects);
    return answer;
  }
  int64_t result(TaskId task, uint64_t number, std::array<uint64_t, 6> arguments = {}) {
    const SyscallAnswer answer = call(task, number, arguments);
    EXPECT_EQ(answer.kind, SyscallAnswer::Kind::done) << answer.reason;
    return answer.result;
  }
  void blocks(TaskId task, uint64_t number, std::array<uint64_t, 6> arguments = {}) {
    const SyscallAnswer answer = call(task, number, arguments);
    EXPECT_EQ(answer.kind, SyscallAnswer::Kind::blocks) << answer.reason;
  }
  std::string infeasible(TaskId task, uint64_t number, std::array<uint64_t, 6> arguments = {}) {
    const SyscallAnswer answer = call(task, number, arguments);
    EXPECT_EQ(answer.kind, SyscallAnswer::Kind::infeasible);
    return answer.reason;
  }
  // The end of a call that waited.
  int64_t collected(TaskId task) {
    const SyscallAnswer answer = kernel().collect(task);
    memory.apply(answer.effects);
    return answer.result;
  }
  // A new thread.
  TaskId thread(TaskId parent = 1, uint64_t clear_tid = 0) {
    constexpr uint64_t kThread = 0x10000 | 0x100;  // CLONE_THREAD | CLONE_VM
    const uint64_t flags = kThread | (clear_tid ? 0x200000 : 0);
    const SyscallAnswer answer = call(parent, SYS_clone, {flags, 0x7000, 0, clear_tid, 0});
    EXPECT_EQ(answer.kind, SyscallAnswer::Kind::new_task);
    return answer.child;
  }
  std::vector<TaskId> runnable() { return kernel().runnable(); }

  void store(uint64_t address, uint32_t value) { memory.store(address, value); }
  uint32_t word(uint64_t address) { return *memory.load<uint32_t>(address); }
  uint64_t quad(uint64_t address) { return *memory.load<uint64_t>(address); }
  // A struct timespec.
  void store_time(uint64_t address, int64_t seconds, int64_t ns) {
    memory.store(address, seconds);
    memory.store(address + 8, ns);
  }
  std::string text(uint64_t address, size_t size) {
    std::string bytes(size, 0);
    memory.read(address, {reinterpret_cast<uint8_t*>(bytes.data()), size});
    return bytes;
  }
  void store_text(uint64_t address, std::string_view bytes) {
    memory.write(address, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }

  FakeMemory memory;
  RecordingMaker recorded;

 private:
  std::optional<ModelKernel> kernel_;
};

}  // namespace heddle
