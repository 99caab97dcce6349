#include "explorer/model_guest.h"

#include <cstdio>
#include <stdexcept>
#include <string>

namespace heddle {

void ModelGuest::apply(TaskId task, const std::vector<MemoryEffect>& effects) {
  for (const auto& effect : effects) {
    if (memory(task).write(effect.address, effect.bytes)) continue;
    char where[32];
    std::snprintf(where, sizeof where, "0x%llx", static_cast<unsigned long long>(effect.address));
    throw std::runtime_error(std::string("a memory effect at ") + where +
                             " falls on unmapped memory");
  }
}

}  // namespace heddle
