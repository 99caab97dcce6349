#include "explorer/model_guest.h"

#include <cstdio>
#include <stdexcept>
#include <string>

namespace heddle {

SyscallRequest ModelGuest::request(TaskId id) {
  const TaskContext& context = task(id);
  const auto& r = context.registers;
  return {r[Register::rax],
          {r[Register::rdi], r[Register::rsi], r[Register::rdx], r[Register::r10], r[Register::r8],
           r[Register::r9]},
          context.place()};
}

void ModelGuest::complete(TaskId id, int64_t result) {
  task(id).complete_call(result);
}

void ModelGuest::complete(TaskId id, const event::Instruction& answer, unsigned length) {
  auto& r = task(id).registers;
  r[Register::rax] = answer.rax;
  r[Register::rbx] = answer.rbx;
  r[Register::rcx] = answer.rcx;
  r[Register::rdx] = answer.rdx;
  r[Register::rflags] = answer.rflags;
  r[Register::rip] += length;
}

void ModelGuest::apply(const std::vector<MemoryEffect>& effects) {
  for (const auto& effect : effects) {
    if (memory().write(effect.address, effect.bytes)) continue;
    char where[32];
    std::snprintf(where, sizeof where, "0x%llx", static_cast<unsigned long long>(effect.address));
    throw std::runtime_error(std::string("a memory effect at ") + where +
                             " falls on unmapped memory");
  }
}

}  // namespace heddle
