#include "machine/resident/fault_handler.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "machine/resident/guarded_copy.h"
#include "machine/resident/resident_memory.h"

// A byte copy whose faults go on at heddle_guarded_copy_fault.
__asm__(
    ".text\n"
    ".globl heddle_guarded_copy\n"
    ".type heddle_guarded_copy, @function\n"
    "heddle_guarded_copy:\n"
    "  mov %rdx, %rcx\n"
    ".globl heddle_guarded_copy_begin\n"
    "heddle_guarded_copy_begin:\n"
    "  rep movsb\n"
    ".globl heddle_guarded_copy_end\n"
    "heddle_guarded_copy_end:\n"
    "  mov $1, %eax\n"
    "  ret\n"
    ".globl heddle_guarded_copy_fault\n"
    "heddle_guarded_copy_fault:\n"
    "  xor %eax, %eax\n"
    "  ret\n"
    ".size heddle_guarded_copy, . - heddle_guarded_copy\n");

namespace heddle {
namespace {

constexpr std::array<int, 5> kSignals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
constexpr size_t kStackSize = 256 << 10;
constexpr uint64_t kTrapAlignmentDirection = 0x40500;  // bits of rflags
constexpr uint64_t kWrite = 2;                         // of a page fault's error code

heddle_resident_state* the_state = nullptr;
siginfo_t the_fault;
uint64_t the_rip = 0;
bool the_guest_faulted = false;
std::array<struct sigaction, kSignals.size()> before;
void* the_stack = nullptr;

// Runs with whatever fs base there is: no thread-local storage, no calls that might use it.
void on_fault(int signal, siginfo_t* info, void* where) {
  auto& context = static_cast<ucontext_t*>(where)->uc_mcontext;
  const auto rip = static_cast<uint64_t>(context.gregs[REG_RIP]);
  if (signal == SIGSEGV && info->si_code == SEGV_ACCERR &&
      (static_cast<uint64_t>(context.gregs[REG_ERR]) & kWrite) &&
      ResidentMemory::handle_write_fault(reinterpret_cast<uint64_t>(info->si_addr)))
    return;
  if (rip == reinterpret_cast<uint64_t>(&heddle_guarded_copy_begin)) {
    context.gregs[REG_RIP] = reinterpret_cast<greg_t>(&heddle_guarded_copy_fault);
    return;
  }
  if (the_state && the_state->in_guest) {
    // In the hardware's register order.
    constexpr std::array<int, 16> kOrder{REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                         REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                         REG_R12, REG_R13, REG_R14, REG_R15};
    for (size_t i = 0; i < kOrder.size(); ++i)
      the_state->task.saved[i] = static_cast<uint64_t>(context.gregs[kOrder[i]]);
    the_state->task.saved_flags = static_cast<uint64_t>(context.gregs[REG_EFL]);
    the_fault = *info;
    the_rip = rip;
    the_guest_faulted = true;
    context.gregs[REG_EFL] &= ~static_cast<greg_t>(kTrapAlignmentDirection);
    context.gregs[REG_RIP] = reinterpret_cast<greg_t>(&heddle_resident_faulted);
    return;
  }
  // Ours: it comes again, and is not ours to handle.
  for (size_t i = 0; i < kSignals.size(); ++i)
    if (kSignals[i] == signal) sigaction(signal, &before[i], nullptr);
}

}  // namespace

FaultHandler::FaultHandler(heddle_resident_state* state) {
  if (the_state) throw std::logic_error("a process holds one resident guest");
  the_stack = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (the_stack == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "a stack for faults");
  const stack_t stack{the_stack, 0, kStackSize};
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (const int signal : kSignals) sigdelset(&action.sa_mask, signal);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &before[i]);
  the_state = state;
}

FaultHandler::~FaultHandler() {
  the_state = nullptr;
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before[i], nullptr);
  const stack_t none{nullptr, SS_DISABLE, 0};
  sigaltstack(&none, nullptr);
  munmap(the_stack, kStackSize);
}

bool FaultHandler::faulted() const {
  return the_guest_faulted;
}
const siginfo_t& FaultHandler::last_fault() const {
  return the_fault;
}
uint64_t FaultHandler::fault_rip() const {
  return the_rip;
}
void FaultHandler::clear() {
  the_guest_faulted = false;
}

}  // namespace heddle
