// Which memory of a recorded run more than one strand used.
//
// Most of what threads access is their own. A first replay finds the lines (machine/tracee/
// line_table.h) that are not, with a few instructions at each access and no log; the analysis then
// logs accesses to those only. An access that is left out has no conflicting one of another strand
// in the whole run, and so neither races nor orders anything.
#pragma once

#include <cstdint>
#include <vector>

#include "explorer/kernel_order.h"
#include "machine/stacks/symbols.h"
#include "replayer/guest.h"
#include "trace_format/event.h"

namespace heddle {

// Can it be done, and has the recording more ticks than `above`? `begin`: first_concurrent() of it;
// it is no Go program's.
bool can_filter(const std::vector<Event>& recording, const KernelOrder& order, size_t begin,
                Ticks above);

// The lines that two strands used from event `begin` on, at least one of them writing, ascending.
// Those in which such an access may begin are among them. Throws as analyse().
std::vector<uint32_t> shared_lines(const std::vector<Event>& recording, const PinnedFiles& files,
                                   const Symbols& symbols, const KernelOrder& order, size_t begin);

}  // namespace heddle
