// The process image after execve, as an event.
#pragma once

#include "machine/tracee/host_process.h"
#include "trace_format/event.h"
#include "trace_format/writer.h"

namespace heddle {

// Takes the vDSO out of the guest's sight (its code would bypass the recording of clocks): moved to
// where the runtime calls it, and its entry in the auxiliary vector marked as ignored. A program
// that is to go on by itself keeps it.
void hide_vdso(HostProcess& process);

// The image of a process that is stopped at its first instruction. Pins the files that it maps.
event::Exec snapshot(HostProcess& process, const Program& program, const Registers& registers,
                     TraceWriter& trace);

}  // namespace heddle
