// Signals: an alternate stack, nesting and masks, a fault whose handler edits the context, an
// asynchronous signal in a busy loop, SA_RESTART and EINTR on a pipe, and a synchronous wait.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

static unsigned char alternate[64 * 1024];
static char order[32];
static volatile sig_atomic_t alarms;
static int pipe_fds[2];
static void* volatile fault_address;

static void note(char c) {
  const size_t length = strlen(order);
  if (length + 1 < sizeof order) order[length] = c;
}

static void install(int number, void (*handler)(int, siginfo_t*, void*), int flags, int masked) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigemptyset(&action.sa_mask);
  if (masked) sigaddset(&action.sa_mask, masked);
  CHECK(sigaction(number, &action, NULL) == 0);
}

static void on_usr1(int number, siginfo_t* info, void* context) {
  (void)context;
  unsigned char here;
  const uintptr_t at = (uintptr_t)&here;
  CHECK(number == SIGUSR1 && info->si_signo == SIGUSR1 && info->si_pid == getpid());
  CHECK(at - (uintptr_t)alternate < sizeof alternate);
  note('1');
  raise(SIGUSR2);
  note('!');
}

static void on_usr2(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  (void)context;
  note('2');
}

static void on_segv(int number, siginfo_t* info, void* context) {
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  CHECK(number == SIGSEGV && info->si_code == SEGV_ACCERR && info->si_addr == fault_address);
  CHECK((void*)registers[REG_RDI] == fault_address);
  registers[REG_RIP] = registers[REG_RSI];
  registers[REG_RAX] = 42;
}

static void on_alarm(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  (void)context;
  alarms++;
}

static void on_alarm_feed(int number, siginfo_t* info, void* context) {
  const int saved = errno;
  on_alarm(number, info, context);
  CHECK(write(pipe_fds[1], "x", 1) == 1);
  errno = saved;
}

static void start_timer(int milliseconds, int repeat) {
  const struct timeval value = {0, milliseconds * 1000};
  struct itimerval timer = {{0, 0}, value};
  if (repeat) timer.it_interval = value;
  CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void stop_timer(void) {
  const struct itimerval none = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &none, NULL) == 0);
}

static void nested(void) {
  install(SIGUSR2, on_usr2, 0, 0);
  install(SIGUSR1, on_usr1, SA_ONSTACK, 0);
  raise(SIGUSR1);
  CHECK(strcmp(order, "12!") == 0);  // USR2's handler ran inside USR1's
  memset(order, 0, sizeof order);
  install(SIGUSR1, on_usr1, SA_ONSTACK, SIGUSR2);
  raise(SIGUSR1);
  CHECK(strcmp(order, "1!2") == 0);  // masked: it ran after USR1's
  memset(order, 0, sizeof order);
}

static void fault(void) {
  void* page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  fault_address = (char*)page + 24;
  install(SIGSEGV, on_segv, SA_ONSTACK, 0);
  for (int i = 0; i < 3; i++) {
    uint64_t result = 0;
    void* resume;
    __asm__ volatile(
        "leaq 1f(%%rip), %%rsi\n\t"
        "movq (%%rdi), %%rax\n\t"
        "movl $7, %%eax\n"
        "1:"
        : "=a"(result), "=S"(resume)
        : "D"(fault_address), "0"(result)
        : "memory");
    CHECK(result == 42);
  }
  CHECK(munmap(page, 4096) == 0);
}

static void busy_loop(void) {
  install(SIGALRM, on_alarm, 0, 0);
  alarms = 0;
  start_timer(5, 0);
  while (alarms == 0) continue;
  CHECK(alarms == 1);
}

static void restarted_and_interrupted_reads(void) {
  char byte = 0;
  CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
  install(SIGALRM, on_alarm_feed, SA_RESTART, 0);
  start_timer(10, 0);
  CHECK(read(pipe_fds[0], &byte, 1) == 1 && byte == 'x');
  install(SIGALRM, on_alarm, 0, 0);
  start_timer(10, 1);  // repeats, in case the first one comes before the read blocks
  const ssize_t result = read(pipe_fds[0], &byte, 1);
  CHECK(result == -1 && errno == EINTR);
  stop_timer();
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

static void blocked_and_waited_for(void) {
  sigset_t set, pending, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, &before) == 0);
  raise(SIGUSR2);
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2) == 1);
  siginfo_t info;
  CHECK(sigwaitinfo(&set, &info) == SIGUSR2);
  CHECK(order[0] == 0);  // taken without its handler
  raise(SIGUSR2);
  CHECK(sigsuspend(&before) == -1 && errno == EINTR);
  CHECK(strcmp(order, "2") == 0);
  CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

static void* wait_for_kill(void* argument) {
  (void)argument;
  while (alarms == 0) usleep(1000);
  return NULL;
}

static void directed_at_a_thread(void) {
  pthread_t thread;
  alarms = 0;
  install(SIGUSR2, on_alarm, 0, 0);
  CHECK(pthread_create(&thread, NULL, wait_for_kill, NULL) == 0);
  CHECK(pthread_kill(thread, SIGUSR2) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(alarms == 1);
}

int main(void) {
  const stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = sizeof alternate};
  CHECK(sigaltstack(&stack, NULL) == 0);
  nested();
  fault();
  busy_loop();
  restarted_and_interrupted_reads();
  blocked_and_waited_for();
  directed_at_a_thread();
  puts("signals: ok");
  return 0;
}
