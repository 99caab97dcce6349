// Who waits for whom.
#pragma once

#include <map>
#include <string>

#include "machine/guest_memory.h"
#include "trace_format/place.h"

namespace heddle::model {

// Of tasks that wait at futexes (address by task), one cycle in which each waits for a mutex that
// the next one holds: "thread 2 waits for the mutex 0x404010, which thread 3 holds; thread 3 ...".
// Empty: there is none that can be seen. Holders are those that glibc's mutexes (sysdeps/nptl/bits/
// struct_mutex.h: __owner, 8 bytes behind the word) and priority-inheritance words (futex(2)) name.
std::string deadlock_cycle(const std::map<TaskId, uint64_t>& futexes,
                           const std::map<TaskId, int64_t>& tids, const GuestMemory& memory);

}  // namespace heddle::model
