// Between the entries of the system call log and events.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "trace_format/event.h"
#include "trace_format/syscall_log.h"

namespace heddle {

// The event that an entry stands for. Its registers are absent.
Event logged_call(const heddle_log_entry& entry, uint64_t number, uint64_t time_ns);

// The entry that says the same as the event, but for number, time and check; nothing where none
// can: another kind of event, one with registers to compare, or effects that have no room.
std::optional<heddle_log_entry> log_entry(const Event& event);

// The committed entries of a log file, as events, from event number `next` on; nothing where there
// is no file or the entry of that number is not in it. Throws TraceError where it is damaged.
std::vector<Event> read_syscall_log(const std::filesystem::path& file, uint64_t next);

}  // namespace heddle
