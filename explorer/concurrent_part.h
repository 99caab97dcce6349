// Which part of a recording an analysis must look at.
#pragma once

#include <vector>

#include "explorer/kernel_order.h"
#include "trace_format/event.h"

namespace heddle {

// The index of the first event that may bring a second strand about: a task's creation, or the
// installation of a handler that a signal will lead to; the number of events where there is none.
// What came before happens before all that any strand does later, so it races with nothing.
size_t first_concurrent(const std::vector<Event>& recording, const KernelOrder& order);

}  // namespace heddle
