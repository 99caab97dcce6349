// Where a block's host code comes from (translator::Origin), in few bytes: it is asked for only
// where something faults.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "machine/translator/translator.h"

namespace heddle {

// `pc`: the block's guest address. The result is good on machines of one kind only.
std::vector<uint8_t> pack_origins(std::span<const translator::Origin> origins, uint64_t pc);

// The last one at or before `offset` of the block's code; nothing before the first.
std::optional<translator::Origin> find_origin(std::span<const uint8_t> packed, uint64_t pc,
                                              uint32_t offset);

}  // namespace heddle
