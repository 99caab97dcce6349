// The clocks as the kernel shows them to programs: the vDSO, which reads them without a system
// call (vdso(7)). The guest does not see it, since what it returns is not logged; the runtime
// calls it.
#pragma once

namespace heddle {

class HostProcess;

// Moves the vDSO and the pages that it reads to layout::kNativeClock and tells the runtime of it.
// Where it cannot be, the runtime has no vDSO, and the guest none in either case. Once, after the
// runtime's data is placed.
void place_clock(HostProcess& process);

}  // namespace heddle
