// Tells return addresses from other words on a stack.
#pragma once

#include "machine/guest_memory.h"
#include "machine/stacks/symbols.h"

namespace heddle {

// Does a call instruction of a module end at `address`? Most words that are no return addresses
// fail this, not all.
bool is_return_address(const Symbols& symbols, const GuestMemory& memory, uint64_t address);

}  // namespace heddle
