// What calls about signals read and write: dispositions, masks and what is pending, as accesses.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "explorer/kernel_accesses.h"
#include "machine/syscalls/table.h"
#include "trace_format/place.h"

namespace heddle {

// Locations beside those of descriptors: a byte for each signal of a process's dispositions, of a
// task's mask and of what is pending for a task or the process.
//
// Sending reads the mask of who may get the signal and writes what is pending; looking at what is
// pending and waiting for it read it. Blocking and unblocking write the mask, sigaction the
// disposition. `task` makes the call; a signal to the process may go to any of `tasks`. `tids` are
// the kernel's numbers: of a thread that a signal is sent to.
struct SignalOwners {
  std::vector<TaskId> tasks;
  std::map<int64_t, TaskId> by_tid;
};
std::vector<KernelAccess> signal_accesses(TaskId task, uint64_t number, const SyscallArguments& a,
                                          const SignalOwners& owners, const GuestMemory& memory);

// Of a delivery: what the kernel looks at to make it.
std::vector<KernelAccess> delivery_accesses(TaskId task, int32_t signal);

// Has the call any of them?
bool about_signals(uint64_t number);
bool is_signal_location(uint64_t address);
// "disposition of signal 10", "signal 10 in the mask of thread 2"; of several signals "pending
// signals of the process", "mask of thread 2"; empty for other locations.
std::string signal_location_name(uint64_t address, uint64_t size);

}  // namespace heddle
