// What handlers do: nest, defer, reset, run on another stack, change what they return to, jump out.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

static volatile int depth, deepest, runs;
static sigjmp_buf out;
static unsigned char alternate[64 * 1024];
static void* volatile nowhere = (void*)8;

static void install(int number, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  CHECK(sigaction(number, &action, NULL) == 0);
}

static void recurse(int number, siginfo_t* info, void* context) {
  (void)info;
  (void)context;
  runs++;
  if (++depth > deepest) deepest = depth;
  if (runs < 3) raise(number);
  depth--;
}

static void deferring(void) {
  runs = deepest = 0;
  install(SIGUSR1, recurse, SA_NODEFER);
  raise(SIGUSR1);
  CHECK(runs == 3 && deepest == 3);
  runs = deepest = 0;
  install(SIGUSR1, recurse, 0);
  raise(SIGUSR1);
  CHECK(runs == 3 && deepest == 1);
}

static void once(int number, siginfo_t* info, void* context) {
  (void)info;
  (void)context;
  struct sigaction now;
  CHECK(sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
  runs++;
}

static void resetting(void) {
  runs = 0;
  install(SIGUSR1, once, SA_RESETHAND);
  raise(SIGUSR1);
  CHECK(runs == 1);
}

static void jump(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  (void)context;
  siglongjmp(out, 1);
}

static __attribute__((noinline)) int overflow(int n) {
  volatile char big[4096];
  big[0] = (char)n;
  return n < 0 ? n : overflow(n + 1) + big[0];
}

static void stack_overflow(void) {
  const stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = sizeof alternate};
  CHECK(sigaltstack(&stack, NULL) == 0);
  install(SIGSEGV, jump, SA_ONSTACK);
  if (sigsetjmp(out, 1) == 0) overflow(0);
  stack_t now;
  CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == 0);
}

static void on_alternate(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  stack_t now;
  const stack_t other = {.ss_sp = alternate, .ss_flags = 0, .ss_size = 32 * 1024};
  CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_ONSTACK);
  CHECK(sigaltstack(&other, NULL) == -1 && errno == EPERM);
  CHECK(((ucontext_t*)context)->uc_stack.ss_sp == alternate);
  runs++;
}

static void alternate_state(void) {
  runs = 0;
  install(SIGUSR1, on_alternate, SA_ONSTACK);
  raise(SIGUSR1);
  CHECK(runs == 1);
}

// The interrupted code's vector and control registers are its own again afterwards, and a handler
// starts with fresh ones.
static void clobber(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  uint32_t mxcsr;
  uint16_t control;
  __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
  CHECK(mxcsr == 0x1f80 && control == 0x37f);
  __asm__ volatile("pxor %%xmm6, %%xmm6; fninit" : : : "xmm6");
  const struct _libc_fpstate* saved = ((ucontext_t*)context)->uc_mcontext.fpregs;
  CHECK(saved->_xmm[6].element[0] == 0x1234 && saved->mxcsr == 0x3f80 && saved->cwd == 0xf7f);
  runs++;
}

static void vectors(void) {
  uint64_t after = 0;
  uint32_t mxcsr = 0x3f80;
  uint16_t control = 0xf7f;
  runs = 0;
  install(SIGUSR1, clobber, 0);
  const uint64_t pid = (uint64_t)getpid();
  __asm__ volatile(
      "ldmxcsr %1; fldcw %2\n\t"
      "movq %3, %%xmm6\n\t"
      "syscall\n\t"
      "movq %%xmm6, %0\n\t"
      "stmxcsr %1; fnstcw %2"
      : "=r"(after), "+m"(mxcsr), "+m"(control)
      : "r"((uint64_t)0x1234), "a"((uint64_t)62 /* kill */), "D"(pid), "S"((uint64_t)SIGUSR1)
      : "rcx", "r11", "xmm6", "memory");
  CHECK(runs == 1 && after == 0x1234 && mxcsr == 0x3f80 && control == 0xf7f);
  const uint32_t standard = 0x1f80;
  __asm__ volatile("ldmxcsr %0; fninit" : : "m"(standard));
}

static void skip(int number, siginfo_t* info, void* context) {
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  CHECK(number == SIGILL && registers[REG_TRAPNO] == 6 && info->si_code == ILL_ILLOPN);
  registers[REG_RIP] += 2;
  registers[REG_RBX] = 99;
  ((ucontext_t*)context)->uc_mcontext.fpregs->_xmm[7].element[0] = 77;
  runs++;
}

static void changed_context(void) {
  uint64_t rbx = 1, xmm = 0;
  install(SIGILL, skip, 0);
  runs = 0;
  __asm__ volatile(
      "movl $1, %%ebx; pxor %%xmm7, %%xmm7\n\t"
      "ud2\n\t"
      "movq %%xmm7, %1; movq %%rbx, %0"
      : "=r"(rbx), "=r"(xmm)
      :
      : "rbx", "xmm7");
  CHECK(runs == 1 && rbx == 99 && (uint32_t)xmm == 77);
}

static int ends_by(void (*act)(void)) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    act();
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void no_room_for_a_frame(void) {
  install(SIGUSR1, once, 0);
  __asm__ volatile("movl $62, %%eax; movq $16, %%rsp; syscall"
                   :
                   : "D"((uint64_t)getpid()), "S"((uint64_t)SIGUSR1)
                   : "rax", "rcx", "r11", "memory");
}
static void blocked_fault(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSEGV);
  sigprocmask(SIG_BLOCK, &set, NULL);
  install(SIGSEGV, jump, 0);
  *(volatile int*)nowhere = 1;
}
static void bad_return(void) {
  signal(SIGSEGV, SIG_DFL);
  __asm__ volatile("movl $15, %%eax; movq $16, %%rsp; syscall" : : : "rax", "memory");
}

int main(void) {
  deferring();
  resetting();
  stack_overflow();
  alternate_state();
  vectors();
  changed_context();
  signal(SIGSEGV, SIG_DFL);
  CHECK(ends_by(no_room_for_a_frame) == SIGSEGV);
  CHECK(ends_by(blocked_fault) == SIGSEGV);
  CHECK(ends_by(bad_return) == SIGSEGV);
  puts("handlers: ok");
  return 0;
}
