// Between the entries of the system call log and events.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "trace_format/event.h"
#include "trace_format/syscall_log.h"

namespace heddle {

// Consecutive events that are calls served in the tracee, as their entries.
struct LoggedCalls {
  uint64_t first_event = 0;
  uint64_t events = 0;
  uint64_t time_ns = 0;
  std::span<const uint8_t> entries;  // whole ones; valid as long as what they were read from
};

// Bytes of the entry at the front; nothing where there is none that is whole and whose effects are
// inside of it.
std::optional<uint32_t> entry_size(std::span<const uint8_t> bytes);

// How many entries there are; nothing where one of them is not whole.
std::optional<uint64_t> entry_count(std::span<const uint8_t> bytes);

// The event that a whole entry stands for; with registers where they are among its effects.
Event logged_call(std::span<const uint8_t> entry, uint64_t number, uint64_t time_ns);

// Appends the entry that says the same as the event, but for number, time and check; registers,
// where the event has them, as HEDDLE_EFFECT_REGISTERS. False, and nothing happens, where none can:
// another kind of event, or a call that did more than to return and to write memory.
bool append_entry(const Event& event, std::vector<uint8_t>& out);

// The committed entries of a log file, as events: those with number `next` or a higher one; nothing
// where there is no file. Throws TraceError where it is damaged.
std::vector<Event> read_syscall_log(const std::filesystem::path& file, uint64_t next);

}  // namespace heddle
