#include "tests/differential/stepped_program.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include <set>
#include <stdexcept>

#include "machine/syscalls/effects.h"
#include "machine/tracee/guest_code.h"
#include "machine/tracee/guest_cpu.h"
#include "machine/translator/operand.h"
#include "recorder/special_instructions.h"
#include "tests/differential/single_step.h"

namespace heddle::differential {
namespace {

constexpr uint64_t kPlaceEvery = 97;    // instructions between places
constexpr uint64_t kVectorsEvery = 16;  // samples between those with vector registers

using translator::ExitKind;

// The exit that the translator makes of the instruction at `pc`, if it leaves before it.
const translator::ExitSite* leaving(const translator::Translation& t) {
  if (t.exits.empty()) return nullptr;
  // The runtime is asked first for what cpuid says.
  if (t.exits[0].kind != ExitKind::special && t.exits[0].offset != 0) return nullptr;
  return &t.exits[0];
}

}  // namespace

std::vector<uint8_t> vector_registers(const HostThread& thread) {
  const auto state = thread.extended_state();
  return {state.begin() + 160, state.begin() + 416};
}

SteppedProgram step_program(const Program& program, uint64_t limit) {
  SteppedProgram run;
  run.program = program;
  HostProcess process = HostProcess::start(program);
  HostThread& thread = process.thread();
  auto& memory = process.memory();
  const GuestCode code(memory);

  Registers now = guest_registers(thread.registers());
  run.entry = now;
  run.stack = now[Register::rsp];
  for (const auto& entry : read_maps(process.pid())) {
    if (entry.path != "[stack]") continue;
    run.stack_bytes.resize(entry.end - run.stack);
    memory.read(run.stack, run.stack_bytes);
  }

  std::set<uint64_t> updates;
  Ticks ticks = 0;
  for (; run.instructions < limit; ++run.instructions) {
    const uint64_t pc = now[Register::rip];
    translator::Options one;
    one.max_instructions = 1;
    const auto t = translator::translate(code, pc, pc, one);
    const auto* exit = leaving(t);
    if (exit && exit->kind == ExitKind::special) {
      complete_instruction(answer_special(*exit, now, CpuFeatures::sse), exit->length, now);
      thread.set_registers(GuestCpu::to_host(now, thread.registers()));
      run.specials.push_back(now);
      continue;
    }
    if (exit && exit->kind == ExitKind::syscall && now[Register::rax] == SYS_exit_group) {
      run.status = static_cast<int>(now[Register::rdi]);
      break;
    }
    for (const auto& operand : translator::memory_operands(code, now))
      if (operand.kind == AccessKind::update) updates.insert(pc);
    if (run.instructions % kPlaceEvery == 0 && !iterates(code, pc))
      run.places.push_back({now, ticks, {}});

    const Registers before = now;
    const SyscallArguments a{before[Register::rdi], before[Register::rsi], before[Register::rdx],
                             before[Register::r10], before[Register::r8],  before[Register::r9]};
    const Syscall* call = nullptr;
    SyscallInputs lengths;
    if (exit && exit->kind == ExitKind::syscall) {
      call = find(before[Register::rax]);
      if (!call)
        throw std::runtime_error("a stepped program makes a call that is not in the table");
      lengths = inputs(*call, a, memory);
    }
    const SingleStep step = single_step(thread, memory);
    if (!step.done) throw std::runtime_error("a stepped program must not fault");
    now = step.registers;
    if (call) {
      const auto result = static_cast<int64_t>(now[Register::rax]);
      run.calls.push_back(
          {call->number, result, contents(effects(*call, a, result, memory, lengths), memory)});
    }
    if (ticks_of(code, pc, now[Register::rip]) == 0) continue;
    ++ticks;
    run.ticks.push_back({now, ticks, {}});
    if (ticks % kVectorsEvery == 0) run.ticks.back().vectors = vector_registers(thread);
  }
  process.kill();
  run.updates.assign(updates.begin(), updates.end());
  return run;
}

}  // namespace heddle::differential
