#include "machine/tracee/task_context.h"

#include "machine/tracee/guest_code.h"
#include "machine/translator/translator.h"

namespace heddle {

void TaskContext::complete_call(int64_t result) {
  restart_call();
  registers[Register::rip] = registers[Register::rcx];
  registers[Register::rax] = static_cast<uint64_t>(result);
}

void TaskContext::restart_call() {
  registers[Register::rcx] = registers[Register::rip] + 2;
  registers[Register::r11] = registers[Register::rflags];
}

SyscallRequest TaskContext::request() const {
  const auto& r = registers;
  return {r[Register::rax],
          {r[Register::rdi], r[Register::rsi], r[Register::rdx], r[Register::r10], r[Register::r8],
           r[Register::r9]},
          place()};
}

void complete_instruction(const event::Instruction& answer, unsigned length, Registers& r) {
  r[Register::rax] = answer.rax;
  r[Register::rbx] = answer.rbx;
  r[Register::rcx] = answer.rcx;
  r[Register::rdx] = answer.rdx;
  r[Register::rflags] = answer.rflags;
  if (answer.operand) r[*answer.operand] = answer.value;
  r[Register::rip] += length;
}

void clear_dead_flags(Registers& registers, const GuestMemory& memory) {
  registers[Register::rflags] = translator::canonical_flags(
      GuestCode(memory), registers[Register::rip], registers[Register::rflags]);
}

}  // namespace heddle
