// What translated code keeps of each line of the guest's memory, where accesses are filtered
// (translator::AccessFilter). Shared by the supervisor and the process.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "machine/tracee/host_process.h"
#include "machine/translator/translator.h"

namespace heddle {

// Who used a line since the table was made: 0 nobody, a task's TaskContext::owner, or kMany. An
// access counts for the line of its first byte; one of at most a line's size may touch the next.
struct LineUse {
  static constexpr uint32_t kMany = 0xffff'ffff;

  uint32_t readers = 0;
  uint32_t writers = 0;  // those of updates too
};

class LineTable {
 public:
  // Places a table of `filter`, which is not none, in the process. Throws std::system_error where
  // the system refuses.
  LineTable(HostProcess& process, translator::AccessFilter filter);
  ~LineTable();
  LineTable(const LineTable&) = delete;
  LineTable& operator=(const LineTable&) = delete;

  // Puts empty memory of its own in the table's place in a copy of the process.
  static void hide(HostProcess& process);

  // Lines have numbers; addresses 2^38 apart share one.
  static uint32_t line(uint64_t address) { return static_cast<uint32_t>(address >> 6); }

  // AccessFilter::owners: `size` bytes, at least 1, are used otherwise than by translated code.
  void use(uint64_t address, uint64_t size, uint32_t owner, bool writes);
  // ... and the lines with what is known of them: `visit(first, uses)`, ascending.
  void visit(const std::function<void(uint32_t first, std::span<const LineUse> uses)>& visit) const;

  // AccessFilter::shared: accesses to these lines are to be logged.
  void log(uint32_t line) { memory_[line] = 1; }
  bool logs(uint32_t line) const { return memory_[line] != 0; }

 private:
  int file_ = -1;
  uint64_t size_ = 0;  // bytes
  uint8_t* memory_ = nullptr;
};

}  // namespace heddle
