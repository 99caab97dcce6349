// How fast virtual time goes.
#pragma once

#include <cstdint>

namespace heddle::model {

constexpr uint64_t kTickTime = 1;    // ns
constexpr uint64_t kCallTime = 200;  // ns

}  // namespace heddle::model
