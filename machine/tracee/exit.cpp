#include "machine/tracee/exit.h"

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "machine/tracee/layout.h"

namespace heddle {

using translator::ExitKind;

Exit exit_of(const translator::ExitSite& site, TaskContext& context, const GuestMemory& memory) {
  Exit out;
  out.site = &site;
  const uint64_t pc = site.pc;
  const auto fault = [&](int signo, int code, uint64_t address) {
    out.kind = Exit::Kind::fault;
    out.info.si_signo = signo;
    out.info.si_code = code;
    out.info.si_addr = reinterpret_cast<void*>(address);
    return out;
  };
  switch (site.kind) {
    case ExitKind::budget:
      out.kind = Exit::Kind::budget;
      return out;
    case ExitKind::syscall:
      out.kind = Exit::Kind::syscall;
      return out;
    case ExitKind::special:
      out.kind = Exit::Kind::special;
      return out;
    case ExitKind::point:
      out.kind = Exit::Kind::point;
      return out;
    case ExitKind::hook:
      out.kind = Exit::Kind::hook;
      return out;
    case ExitKind::stop:
      out.kind = Exit::Kind::stop;
      return out;
    case ExitKind::trap:
      // The breakpoint instruction is behind the guest when its signal comes.
      context.registers[Register::rip] = pc + site.length;
      if (memory.load<uint8_t>(pc + site.length - 1) == 0xf1)  // int1
        return fault(SIGTRAP, TRAP_BRKPT, pc + site.length);
      return fault(SIGTRAP, SI_KERNEL, 0);
    case ExitKind::illegal:
      return fault(SIGILL, ILL_ILLOPN, pc);
    case ExitKind::unreadable: {
      const uint64_t at = pc + site.length;
      const bool mapped = !layout::machines_own(at) && memory.load<uint8_t>(at);
      return fault(SIGSEGV, mapped ? SEGV_ACCERR : SEGV_MAPERR, at);
    }
    default:
      break;
  }
  std::array<uint8_t, 15> bytes{};
  const size_t got = memory.read(pc, bytes);
  std::string text;
  for (size_t i = 0; i < got; ++i) {
    char hex[4];
    std::snprintf(hex, sizeof hex, " %02x", bytes[i]);
    text += hex;
  }
  char where[32];
  std::snprintf(where, sizeof where, "0x%llx", static_cast<unsigned long long>(pc));
  throw std::runtime_error("unsupported instruction at " + std::string(where) + ", bytes" + text);
}

}  // namespace heddle
