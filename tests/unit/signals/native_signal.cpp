#include "native_signal.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace heddle {
namespace {

constexpr size_t kAlternate = 64 << 10;
constexpr size_t kRoom = 16 << 10;
constexpr uint64_t kRestorer = 0x04000000;

// Shared with the child that takes the signal.
struct Report {
  uint64_t rdi, rsi, rdx, rax, rsp, rflags;  // written by entry below, in this order
  uint32_t mxcsr;
  uint16_t control;
  uint16_t padding;
  uint64_t extended;
  uint32_t state_size;
  uint8_t frame[440];
  uint8_t state[kRoom];
  alignas(64) uint8_t alternate[kAlternate];
};
Report* report;

}  // namespace

extern "C" {

__attribute__((used)) void* heddle_test_report;

// First instructions of the handler: what the kernel made of the registers, then copy_frame.
__asm__(
    ".text\n"
    "heddle_test_entry:\n"
    "  pushfq\n"
    "  pushq %r10\n"
    "  movq heddle_test_report(%rip), %r10\n"
    "  movq %rdi, 0(%r10)\n"
    "  movq %rsi, 8(%r10)\n"
    "  movq %rdx, 16(%r10)\n"
    "  movq %rax, 24(%r10)\n"
    "  leaq 16(%rsp), %rax\n"
    "  movq %rax, 32(%r10)\n"
    "  movq 8(%rsp), %rax\n"
    "  movq %rax, 40(%r10)\n"
    "  stmxcsr 48(%r10)\n"
    "  fnstcw 52(%r10)\n"
    "  leaq 16(%rsp), %rdi\n"
    "  andq $-16, %rsp\n"
    "  call heddle_test_copy_frame\n"
    "heddle_test_restorer:\n"
    "  movl $15, %eax\n"
    "  syscall\n");
void heddle_test_entry();
void heddle_test_restorer();

__attribute__((used)) void heddle_test_copy_frame(const uint8_t* frame) {
  std::memcpy(report->frame, frame, sizeof report->frame);
  const auto* context = reinterpret_cast<const ucontext_t*>(frame + 8);
  const auto* state = reinterpret_cast<const uint8_t*>(context->uc_mcontext.fpregs);
  report->extended = reinterpret_cast<uint64_t>(state);
  std::memcpy(&report->state_size, state + 464 + 16, sizeof report->state_size);
  std::memcpy(report->state, state, std::min<size_t>(report->state_size + 4, kRoom));
  _exit(0);
}

}  // extern "C"

namespace {

// What lies below the caller's frame.
[[gnu::noinline]] void fill_stack_below() {
  volatile uint8_t below[32 << 10];
  for (auto& byte : below) byte = 0xcc;
}

// With known values in some registers.
[[gnu::noinline]] void raise_it(const NativeRequest& request, uint64_t target) {
  const auto number = static_cast<uint64_t>(request.signal);
  const auto own = static_cast<uint64_t>(getpid());
  fill_stack_below();
  switch (request.raised) {
    case Raised::by_tgkill:
      __asm__ volatile(
          "movq $0x1111, %%rbx; movq $0x2222, %%r12; movq $0x3333, %%r13\n\t"
          "movq %%rbx, %%xmm5\n\t"
          "stc; syscall"
          :
          : "a"(SYS_tgkill), "D"(own), "S"(own), "d"(number)
          : "rbx", "r12", "r13", "rcx", "r11", "xmm5", "memory");
      break;
    case Raised::by_write_to_read_only:
      __asm__ volatile("movq %%rax, (%%rdi)" : : "a"(7), "D"(target) : "memory");
      break;
    case Raised::by_read_of_nothing:
      __asm__ volatile("movq 8(%%rdi), %%rax" : : "a"(7), "D"(0) : "memory");
      break;
    case Raised::by_ud2:
      __asm__ volatile("ud2");
      break;
    case Raised::by_divide:
      __asm__ volatile("xorl %%ecx, %%ecx; divl %%ecx" : : "a"(1), "d"(0) : "rcx");
      break;
  }
}

[[noreturn]] void child(const NativeRequest& request) {
  heddle_test_report = report;
  if (request.alternate) {
    std::memset(report->alternate, 0xcc, kAlternate);
    const auto stack = native_alternate_stack(request);
    const stack_t wanted{reinterpret_cast<void*>(stack.sp), stack.flags, stack.size};
    if (syscall(SYS_sigaltstack, &wanted, nullptr) != 0) _exit(2);
  }
  const SignalAction action{reinterpret_cast<uint64_t>(&heddle_test_entry),
                            request.flags | kRestorer,
                            reinterpret_cast<uint64_t>(&heddle_test_restorer), 0};
  if (syscall(SYS_rt_sigaction, request.signal, &action, nullptr, 8) != 0) _exit(3);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &request.blocked, nullptr, 8);
  auto* page = static_cast<volatile uint8_t*>(
      mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  (void)page[0];  // there, but not to be written
  raise_it(request, reinterpret_cast<uint64_t>(page));
  _exit(4);
}

}  // namespace

AlternateStack native_alternate_stack(const NativeRequest& request) {
  if (!request.alternate) return {};
  return {reinterpret_cast<uint64_t>(report->alternate), request.alternate_flags, kAlternate};
}

NativeFrame take_natively(const NativeRequest& request) {
  if (!report)
    report = static_cast<Report*>(
        mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  *report = {};
  const pid_t pid = fork();
  if (pid == 0) child(request);
  int status = 0;
  waitpid(pid, &status, 0);
  if (status != 0) throw std::runtime_error("the child that takes a signal ended otherwise");

  NativeFrame out;
  out.frame = report->rsp;
  out.extended = report->extended;
  out.state_size = report->state_size;
  out.bytes.assign(report->frame, report->frame + sizeof report->frame);
  out.state.assign(report->state, report->state + report->state_size + 4);
  auto& r = out.at_entry;
  r[Register::rdi] = report->rdi;
  r[Register::rsi] = report->rsi;
  r[Register::rdx] = report->rdx;
  r[Register::rax] = report->rax;
  r[Register::rsp] = report->rsp;
  r[Register::rflags] = report->rflags;
  r[Register::rip] = reinterpret_cast<uint64_t>(&heddle_test_entry);
  out.mxcsr_at_entry = report->mxcsr;
  out.control_at_entry = report->control;
  constexpr std::pair<int, Register> kGregs[] = {
      {REG_R8, Register::r8},   {REG_R9, Register::r9},   {REG_R10, Register::r10},
      {REG_R11, Register::r11}, {REG_R12, Register::r12}, {REG_R13, Register::r13},
      {REG_R14, Register::r14}, {REG_R15, Register::r15}, {REG_RDI, Register::rdi},
      {REG_RSI, Register::rsi}, {REG_RBP, Register::rbp}, {REG_RBX, Register::rbx},
      {REG_RDX, Register::rdx}, {REG_RAX, Register::rax}, {REG_RCX, Register::rcx},
      {REG_RSP, Register::rsp}, {REG_RIP, Register::rip}, {REG_EFL, Register::rflags}};
  const auto* context = reinterpret_cast<const ucontext_t*>(report->frame + 8);
  for (const auto& [slot, reg] : kGregs)
    out.interrupted[reg] = static_cast<uint64_t>(context->uc_mcontext.gregs[slot]);
  return out;
}

}  // namespace heddle
