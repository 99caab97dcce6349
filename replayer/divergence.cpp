#include "replayer/divergence.h"

#include <cstdio>

#include "machine/syscalls/table.h"

namespace heddle {

Divergence::Divergence(uint64_t event_number, TaskId in_task, const std::string& wanted,
                       const std::string& got)
    : std::runtime_error("divergence at event " + std::to_string(event_number) + ", task " +
                         std::to_string(in_task) + ": expected " + wanted + ", actual " + got),
      event(event_number),
      task(in_task),
      expected(wanted),
      actual(got) {}

std::string describe(const Place& place) {
  char text[96];
  std::snprintf(text, sizeof text, "task %u at ticks %llu, pc 0x%llx%s", place.task,
                static_cast<unsigned long long>(place.ticks),
                static_cast<unsigned long long>(place.pc), place.phase ? ", phase 1" : "");
  return text;
}

std::string differing_registers(const Registers& expected, const Registers& actual) {
  std::string text;
  for (size_t i = 0; i < kRegisterCount; ++i) {
    if (expected.values[i] == actual.values[i]) continue;
    char line[96];
    std::snprintf(line, sizeof line, "%s%s expected 0x%llx, actual 0x%llx",
                  text.empty() ? "" : "; ", std::string(kRegisterNames[i]).c_str(),
                  static_cast<unsigned long long>(expected.values[i]),
                  static_cast<unsigned long long>(actual.values[i]));
    text += line;
  }
  return text;
}

std::string describe(const EventBody& body) {
  struct Visitor {
    std::string operator()(const event::Exec& e) const { return "exec of " + e.path; }
    std::string operator()(const event::Syscall& e) const {
      const auto* known = find(e.number);
      return std::string("system call ") + (known ? known->name : std::to_string(e.number));
    }
    std::string operator()(const event::Instruction& e) const {
      static constexpr const char* kNames[] = {"rdtsc",  "rdtscp", "cpuid", "rdrand",
                                               "rdseed", "rdpid",  "xgetbv"};
      return std::string("instruction ") + (e.kind < 7 ? kNames[e.kind] : "unknown");
    }
    std::string operator()(const event::Signal& e) const {
      return (e.fatal ? "fatal signal " : "signal ") + std::to_string(e.number);
    }
    std::string operator()(const event::Switch& e) const {
      return "switch to task " + std::to_string(e.next);
    }
    std::string operator()(const event::TaskExit&) const { return "end of the task"; }
    std::string operator()(const event::ProcessExit&) const { return "end of the process"; }
    std::string operator()(const event::Released& e) const { return "released: " + e.reason; }
    std::string operator()(const event::Taint& e) const { return "taint: " + e.reason; }
    std::string operator()(const event::StateHash&) const { return "hash of the state"; }
  };
  return std::visit(Visitor{}, body);
}

}  // namespace heddle
