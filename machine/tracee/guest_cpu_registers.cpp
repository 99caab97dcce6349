// The guest's registers, as ptrace has them.
#include "machine/tracee/guest_cpu.h"

namespace heddle {

user_regs_struct GuestCpu::to_host(const Registers& r, const user_regs_struct& base) {
  user_regs_struct regs = base;
  regs.rax = r[Register::rax];
  regs.rcx = r[Register::rcx];
  regs.rdx = r[Register::rdx];
  regs.rbx = r[Register::rbx];
  regs.rsp = r[Register::rsp];
  regs.rbp = r[Register::rbp];
  regs.rsi = r[Register::rsi];
  regs.rdi = r[Register::rdi];
  regs.r8 = r[Register::r8];
  regs.r9 = r[Register::r9];
  regs.r10 = r[Register::r10];
  regs.r11 = r[Register::r11];
  regs.r12 = r[Register::r12];
  regs.r13 = r[Register::r13];
  regs.r14 = r[Register::r14];
  regs.r15 = r[Register::r15];
  regs.rip = r[Register::rip];
  regs.eflags = r[Register::rflags];
  regs.fs_base = r[Register::fs_base];
  // Not in a system call, as far as the kernel's restart logic is concerned.
  regs.orig_rax = ~0ull;
  return regs;
}

Registers GuestCpu::to_guest(const user_regs_struct& regs) const {
  Registers r;
  r.values = {regs.rax, regs.rcx, regs.rdx, regs.rbx,    regs.rsp,    regs.rbp, regs.rsi,
              regs.rdi, regs.r8,  regs.r9,  regs.r10,    regs.r11,    regs.r12, regs.r13,
              regs.r14, regs.r15, regs.rip, regs.eflags, regs.fs_base};
  return r;
}

}  // namespace heddle
