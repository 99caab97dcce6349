#include "tests/differential/single_step.h"

#include <Zydis/Zydis.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <optional>
#include <stdexcept>
#include <system_error>

#include "machine/tracee/guest_code.h"

namespace heddle::differential {
namespace {

constexpr uint64_t kTrap = 0x100, kTrapAndResume = 0x10100;

struct Decoded {
  ZydisDecodedInstruction info{};
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

std::optional<Decoded> decode(const translator::CodeSource& code, uint64_t pc) {
  static const ZydisDecoder decoder = [] {
    ZydisDecoder d;
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return d;
  }();
  uint8_t bytes[15];
  const size_t got = code.read(pc, bytes);
  Decoded d;
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, got, &d.info, d.operands)))
    return std::nullopt;
  return d;
}

}  // namespace

Registers guest_registers(const user_regs_struct& regs) {
  Registers r;
  r.values = {regs.rax,    regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp,
              regs.rsi,    regs.rdi, regs.r8,  regs.r9,  regs.r10, regs.r11,
              regs.r12,    regs.r13, regs.r14, regs.r15, regs.rip, regs.eflags & ~kTrapAndResume,
              regs.fs_base};
  return r;
}

SingleStep single_step(HostThread& thread, GuestMemory& memory) {
  const auto in = decode(GuestCode(memory), thread.registers().rip);
  if (ptrace(PTRACE_SINGLESTEP, thread.tid(), nullptr, nullptr) != 0)
    throw std::system_error(errno, std::generic_category(), "single-stepping");
  const int status = thread.wait();
  if (!WIFSTOPPED(status) || stop_event(status) != 0)
    throw TraceeGone("the program ended while it was stepped");
  SingleStep step;
  step.signal = thread.signal_info();
  // The kernel steps a system call itself, and tells it otherwise.
  const int code = in && in->info.mnemonic == ZYDIS_MNEMONIC_SYSCALL ? TRAP_BRKPT : TRAP_TRACE;
  step.done = is_signal_stop(status, SIGTRAP) && step.signal.si_code == code;
  auto regs = thread.registers();
  if (step.done && in) {
    switch (in->info.mnemonic) {
      case ZYDIS_MNEMONIC_PUSHF:
      case ZYDIS_MNEMONIC_PUSHFQ: {
        const auto pushed = memory.load<uint16_t>(regs.rsp);
        memory.store<uint16_t>(regs.rsp, static_cast<uint16_t>(*pushed & ~kTrap));
        break;
      }
      case ZYDIS_MNEMONIC_SYSCALL:
        regs.r11 &= ~kTrap;
        thread.set_registers(regs);
        break;
      default:
        break;
    }
  }
  step.registers = guest_registers(regs);
  return step;
}

bool iterates(const translator::CodeSource& code, uint64_t pc) {
  const auto in = decode(code, pc);
  return in && in->info.meta.category == ZYDIS_CATEGORY_STRINGOP;
}

Ticks ticks_of(const translator::CodeSource& code, uint64_t from, uint64_t to) {
  const auto in = decode(code, from);
  if (!in) return 0;
  switch (in->info.meta.category) {
    case ZYDIS_CATEGORY_RET:
      return translator::return_ticks(code, to) ? 1 : 0;
    case ZYDIS_CATEGORY_CALL:
      if (in->operands[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE) return 1;
      return translator::call_ticks(code, to) ? 1 : 0;
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_UNCOND_BR: {
      const auto& operand = in->operands[0];
      if (operand.type != ZYDIS_OPERAND_TYPE_IMMEDIATE) return 1;
      const uint64_t target = from + in->info.length + static_cast<uint64_t>(operand.imm.value.s);
      return to == target && target <= from ? 1 : 0;
    }
    default:
      return 0;
  }
}

}  // namespace heddle::differential
