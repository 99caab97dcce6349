#include "machine/tracee/task_context.h"

#include <sched.h>

#include "machine/syscalls/effects.h"
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

TaskContext TaskContext::cloned(TaskId child, const CloneArguments& arguments) const {
  TaskContext made;
  made.task = child;
  made.registers = registers;
  made.complete_call(0);
  auto& r = made.registers;
  if (arguments.stack != 0) r[Register::rsp] = arguments.stack;
  if (arguments.flags & CLONE_SETTLS) r[Register::fs_base] = arguments.tls;
  return made;
}

event::Instruction pending_instruction(const translator::ExitSite& site, const Registers& r) {
  event::Instruction pending;
  pending.kind = static_cast<uint16_t>(site.special);
  pending.rax = r[Register::rax];
  pending.rbx = r[Register::rbx];
  pending.rcx = r[Register::rcx];
  pending.rdx = r[Register::rdx];
  pending.rflags = r[Register::rflags];
  return pending;
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
