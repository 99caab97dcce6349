// A replay that does not do what the recording did.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>

#include "trace_format/event.h"

namespace heddle {

// Names the event, the task, the expected and the actual.
class Divergence : public std::runtime_error {
 public:
  Divergence(uint64_t event, TaskId task, const std::string& expected, const std::string& actual);
  uint64_t event;
  TaskId task;
  std::string expected;
  std::string actual;
  std::optional<uint64_t> address;  // of memory that differs, where that is known
};

// "task 2 at ticks 17, pc 0x401136"
std::string describe(const Place& place);

// Lines "rax expected 0x1, actual 0x2" of the registers that differ; empty if none does.
std::string differing_registers(const Registers& expected, const Registers& actual);

// What an event is, in a few words: "system call write", "signal 10".
std::string describe(const EventBody& body);

}  // namespace heddle
