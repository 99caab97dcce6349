// Which faults a system call can meet, and what it comes to with one (trace_format/fault.h).
#pragma once

#include <vector>

#include "explorer/model/answers.h"
#include "trace_format/fault.h"

namespace heddle::model {

// Of a call that is answered without the recording's help, as far as the request itself tells.
std::vector<Fault> memory_faults(const SyscallRequest& request);
// How a call ends that memory is refused to.
SyscallAnswer without_memory(const SyscallRequest& request);

// Of a call that moves `size` bytes: at least one is moved, and one is not.
std::vector<Fault> short_transfers(const SyscallRequest& request, const GuestMemory& memory);
// The request that moves no more than that.
SyscallRequest shortened(const SyscallRequest& request, const Fault& fault);

// Is it one of the calls that wait for what is outside the program and notice a signal then?
bool waits_outside(uint64_t number);

}  // namespace heddle::model
