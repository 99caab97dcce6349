#include "machine/tracee/signal_delivery.h"

#include <signal.h>

#include <array>
#include <cstring>
#include <utility>

#include "machine/tracee/extended_state.h"
#include "machine/tracee/guest_code.h"
#include "machine/translator/operand.h"

namespace heddle {
namespace {

// Exception vectors and bits of a page fault's error code (Intel SDM vol. 3, 6.3.1 and 4.7).
enum Trap : uint64_t {
  kDivide = 0,
  kDebug = 1,
  kBreakpoint = 3,
  kInvalidOpcode = 6,
  kProtection = 13,
  kPageFault = 14,
  kX87 = 16,
  kAlignment = 17,
  kSimd = 19,
};
constexpr uint64_t kPresent = 1, kWrite = 2, kUser = 4, kFetch = 16;

bool x87_instruction(const GuestMemory& memory, uint64_t pc) {
  const auto opcode = memory.load<uint8_t>(pc).value_or(0);
  return opcode == 0x9b || (opcode & 0xf8) == 0xd8;
}

uint64_t page_fault_error(const siginfo_t& info, const GuestMemory& memory,
                          const Registers& registers) {
  const auto address = reinterpret_cast<uint64_t>(info.si_addr);
  const uint64_t pc = registers[Register::rip];
  uint64_t error = kUser;
  if (address - pc < 16) {
    error |= kFetch;
  } else {
    bool found = false, writes = false;
    for (const auto& operand : translator::memory_operands(GuestCode(memory), registers)) {
      if (address - operand.address >= operand.size) continue;
      found = true;
      writes = writes || operand.kind != AccessKind::read;
    }
    // What no operand names is a push or a call's.
    if (!found) writes = registers[Register::rsp] - address < 0x10000;
    if (writes) error |= kWrite;
  }
  // A page that may be read but not written is there; one without any access is not. What is the
  // kernel's looks like it is, always.
  constexpr uint64_t kKernel = uint64_t{1} << 47;
  const bool protection = info.si_signo == SIGSEGV && info.si_code == SEGV_ACCERR;
  if ((protection && error != kUser) || address >= kKernel) error |= kPresent;
  return error;
}

// What a general protection fault tells: the gate that `int n` may not enter, as an entry of the
// interrupt table (Intel SDM 3A, 6.13); 0 for all others.
uint64_t protection_error(const GuestMemory& memory, uint64_t pc) {
  const auto bytes = memory.load<std::array<uint8_t, 2>>(pc);
  return bytes && (*bytes)[0] == 0xcd ? (*bytes)[1] * 8 + 2 : 0;
}

// What the fault left in the thread; nothing for a signal that is none.
std::optional<LastFault> fault_of(const siginfo_t& info, const GuestMemory& memory,
                                  const Registers& registers, const LastFault& before) {
  if (info.si_code <= 0) return std::nullopt;
  const auto address = reinterpret_cast<uint64_t>(info.si_addr);
  switch (info.si_signo) {
    case SIGSEGV:
      if (info.si_code == SI_KERNEL)
        return LastFault{kProtection, protection_error(memory, registers[Register::rip]),
                         before.address};
      return LastFault{kPageFault, page_fault_error(info, memory, registers), address};
    case SIGBUS:
      if (info.si_code == BUS_ADRALN) return LastFault{kAlignment, 0, before.address};
      return LastFault{kPageFault, page_fault_error(info, memory, registers), address};
    case SIGFPE:
      if (info.si_code == FPE_INTDIV) return LastFault{kDivide, 0, before.address};
      return LastFault{x87_instruction(memory, registers[Register::rip]) ? kX87 : kSimd, 0,
                       before.address};
    case SIGILL:
      return LastFault{kInvalidOpcode, 0, before.address};
    case SIGTRAP:
      return LastFault{info.si_code == SI_KERNEL ? kBreakpoint : kDebug, 0, before.address};
    default:
      return std::nullopt;
  }
}

}  // namespace

bool enter_handler(TaskContext& context, RawExtendedState& extended, GuestMemory& memory,
                   SignalState& signals, const SignalInfo& info, std::optional<uint64_t> restored) {
  const TaskId task = context.task;
  clear_dead_flags(context.registers, memory);
  siginfo_t details;
  std::memcpy(&details, info.siginfo.data(), sizeof details);
  if (const auto fault = fault_of(details, memory, context.registers, signals.last_fault(task)))
    signals.set_last_fault(task, *fault);
  const auto action = signals.action(info.number);
  const uint64_t mask = signals.mask(task);
  const FrameRequest request{info, action, restored.value_or(mask), signals.alternate_stack(task),
                             signals.last_fault(task)};
  auto state = canonical_state(extended);
  if (!push_signal_frame(memory, context.registers, state, request)) return false;
  extended = with_canonical(std::move(extended), state);
  context.phase = 0;
  signals.entered_handler(task, info.number);
  return true;
}

bool enter_handler(TaskContext& context, HostThread& thread, GuestMemory& memory,
                   SignalState& signals, const SignalInfo& info, std::optional<uint64_t> restored) {
  auto extended = thread.extended_state();
  if (!enter_handler(context, extended, memory, signals, info, restored)) return false;
  thread.set_extended_state(extended);
  return true;
}

bool leave_handler(TaskContext& context, RawExtendedState& extended, const GuestMemory& memory,
                   SignalState& signals) {
  const auto restored = pop_signal_frame(memory, context.registers);
  if (!restored) return false;
  const uint64_t fs_base = context.registers[Register::fs_base];
  context.registers = restored->registers;
  context.registers[Register::fs_base] = fs_base;
  extended = with_canonical(std::move(extended), restored->state);
  signals.set_mask(context.task, restored->mask);
  signals.change_alternate_stack(context.task, restored->altstack,
                                 restored->registers[Register::rsp]);
  return true;
}

bool leave_handler(TaskContext& context, HostThread& thread, const GuestMemory& memory,
                   SignalState& signals) {
  auto extended = thread.extended_state();
  if (!leave_handler(context, extended, memory, signals)) return false;
  thread.set_extended_state(extended);
  return true;
}

}  // namespace heddle
