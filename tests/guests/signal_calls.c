// Dispositions, masks and alternate stacks through every call on them, and across fork, vfork,
// threads and execve: what is asked is what was set, and what becomes deliverable is delivered
// before the call returns.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

typedef uint64_t set;
#define BIT(signal) ((set)1 << ((signal)-1))

// The kernel's, of which the C library's show only a part.
struct action {
  uint64_t handler, flags, restorer;
  set mask;
};

static volatile sig_atomic_t taken;
static volatile uint64_t asked_on_stack;
static unsigned char alternate[64 * 1024];

static void take(int signal) {
  (void)signal;
  ++taken;
}

static long sigaction_(int signal, const struct action* now, struct action* old) {
  return syscall(SYS_rt_sigaction, signal, now, old, sizeof(set));
}

static long procmask(int how, const set* now, set* old) {
  return syscall(SYS_rt_sigprocmask, how, now, old, sizeof(set));
}

static set mask(void) {
  set now;
  CHECK(procmask(SIG_BLOCK, NULL, &now) == 0);
  return now;
}

static void change(int how, set now) {
  CHECK(procmask(how, &now, NULL) == 0);
}

static uint64_t handler(int signal) {
  struct action now;
  CHECK(sigaction_(signal, NULL, &now) == 0);
  return now.handler;
}

static void install(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  CHECK(sigaction(signal, &action, NULL) == 0);
}

// What is set is what is asked afterwards, for every signal.
static void dispositions(void) {
  struct action old, now;
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP) continue;
    CHECK(sigaction_(signal, NULL, &old) == 0);
    const struct action wanted = {(uint64_t)(uintptr_t)take, SA_RESTART | 0x04000000, 0x1234,
                                  BIT(signal) | BIT(SIGUSR2)};
    CHECK(sigaction_(signal, &wanted, &now) == 0);
    CHECK(memcmp(&now, &old, sizeof now) == 0);
    CHECK(sigaction_(signal, &old, &now) == 0);
    CHECK(memcmp(&now, &wanted, sizeof now) == 0);
  }
  CHECK(sigaction_(SIGKILL, NULL, &old) == 0 && old.handler == 0);
  CHECK(sigaction_(SIGKILL, &old, NULL) == -1 && errno == EINVAL);
  CHECK(sigaction_(65, NULL, &old) == -1 && errno == EINVAL);
  CHECK(sigaction_(SIGUSR1, (void*)8, NULL) == -1 && errno == EFAULT);
  CHECK(sigaction_(SIGUSR1, NULL, (void*)8) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 4) == -1 && errno == EINVAL);
  // The new one and the old one in the same place.
  struct action both = {(uint64_t)(uintptr_t)take, 0, 0, 0};
  CHECK(sigaction_(SIGUSR1, &both, &both) == 0 && both.handler == 0);
  CHECK(handler(SIGUSR1) == (uint64_t)(uintptr_t)take);
}

static void masks(void) {
  const set before = mask();
  set old;
  change(SIG_SETMASK, ~(set)0);
  CHECK(mask() == ~(BIT(SIGKILL) | BIT(SIGSTOP)));
  change(SIG_UNBLOCK, ~BIT(SIGSEGV));
  CHECK(mask() == BIT(SIGSEGV));
  const set more = BIT(SIGUSR1) | BIT(SIGFPE);
  CHECK(procmask(SIG_BLOCK, &more, &old) == 0 && old == BIT(SIGSEGV));
  CHECK(mask() == (BIT(SIGSEGV) | BIT(SIGUSR1) | BIT(SIGFPE)));
  CHECK(procmask(7, &more, NULL) == -1 && errno == EINVAL);
  CHECK(procmask(7, NULL, &old) == 0);  // without a set nobody looks at it
  CHECK(procmask(SIG_BLOCK, (void*)8, NULL) == -1 && errno == EFAULT);
  CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &more, NULL, 4) == -1 && errno == EINVAL);
  set both = before;
  CHECK(procmask(SIG_SETMASK, &both, &both) == 0 && (both & BIT(SIGUSR1)));
  CHECK(mask() == before);
}

// A signal that comes while it is blocked is taken before the call returns that lets it in.
static void let_in(int signal) {
  install(signal, take, 0);
  for (int round = 0; round < 20; ++round) {
    taken = 0;
    change(SIG_BLOCK, BIT(signal));
    CHECK(syscall(SYS_tgkill, getpid(), gettid(), signal) == 0);
    CHECK(taken == 0);
    sigset_t pending;
    CHECK(sigpending(&pending) == 0);
    if (signal != SIGSEGV) CHECK(sigismember(&pending, signal) == 1);
    change(SIG_UNBLOCK, BIT(signal));
    CHECK(taken == 1);
  }
  // One that is ignored meanwhile is lost.
  change(SIG_BLOCK, BIT(signal));
  CHECK(kill(getpid(), signal) == 0);
  install(signal, SIG_IGN, 0);
  install(signal, take, 0);
  change(SIG_UNBLOCK, BIT(signal));
  CHECK(taken == 1);
  install(signal, SIG_DFL, 0);
}

static void reset(void) {
  install(SIGUSR1, take, SA_RESETHAND);
  taken = 0;
  CHECK(raise(SIGUSR1) == 0);
  CHECK(taken == 1 && handler(SIGUSR1) == 0);
  // By default this is ignored, and does not end a call that waits.
  install(SIGURG, take, SA_RESETHAND);
  CHECK(raise(SIGURG) == 0);
  CHECK(raise(SIGURG) == 0);
  CHECK(taken == 2 && handler(SIGURG) == 0);
}

static void on_stack(int signal) {
  (void)signal;
  stack_t now, none = {.ss_flags = SS_DISABLE};
  CHECK(sigaltstack(NULL, &now) == 0);
  asked_on_stack = (uint64_t)(uint32_t)now.ss_flags;
  if (now.ss_flags == SS_ONSTACK) CHECK(sigaltstack(&none, NULL) == -1 && errno == EPERM);
  ++taken;
}

static void stacks(void) {
  enum { kDisarm = (int)0x80000000 };
  stack_t old, now = {.ss_sp = alternate, .ss_size = sizeof alternate};
  CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
  CHECK(sigaltstack(&now, &old) == 0 && old.ss_flags == SS_DISABLE);
  CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == 0 && old.ss_sp == alternate);
  install(SIGUSR1, on_stack, SA_ONSTACK);
  taken = 0;
  CHECK(raise(SIGUSR1) == 0);
  CHECK(taken == 1 && asked_on_stack == SS_ONSTACK);
  now.ss_flags = kDisarm;
  CHECK(sigaltstack(&now, &old) == 0);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(taken == 2 && asked_on_stack == SS_DISABLE);
  CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == kDisarm && old.ss_size == now.ss_size);
  const stack_t small = {.ss_sp = alternate, .ss_size = 100}, odd = {.ss_flags = 4};
  CHECK(sigaltstack(&small, NULL) == -1 && errno == ENOMEM);
  CHECK(sigaltstack(&odd, NULL) == -1 && errno == EINVAL);
  const stack_t none = {.ss_flags = SS_DISABLE};
  CHECK(sigaltstack(&none, &old) == 0 && old.ss_sp == alternate);
  CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE && old.ss_size == 0);
  install(SIGUSR1, SIG_DFL, 0);
}

static void* other_thread(void* argument) {
  CHECK(mask() == *(set*)argument);
  change(SIG_SETMASK, BIT(SIGUSR2));
  install(SIGUSR2, take, 0);
  CHECK(kill(getpid(), SIGUSR2) == 0);  // for the other one
  stack_t stack;
  CHECK(sigaltstack(NULL, &stack) == 0 && stack.ss_flags == SS_DISABLE);
  return NULL;
}

static void threads(void) {
  set inherited = BIT(SIGHUP) | BIT(SIGBUS);
  change(SIG_SETMASK, inherited);
  taken = 0;
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other_thread, &inherited) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  while (taken == 0) sched_yield();
  CHECK(mask() == inherited && handler(SIGUSR2) == (uint64_t)(uintptr_t)take);
  change(SIG_SETMASK, 0);
  install(SIGUSR2, SIG_DFL, 0);
}

static int status_of(pid_t child) {
  int status;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  return status;
}

// What a child sets is its own, whether it has the memory or a copy.
static void children(void) {
  install(SIGUSR1, take, 0);
  change(SIG_SETMASK, BIT(SIGUSR2));
  for (int shares = 0; shares < 2; ++shares) {
    const pid_t child = shares ? vfork() : fork();
    if (child == 0) {
      const struct action none = {0, 0, 0, 0};
      const set all = ~(set)0;
      if (handler(SIGUSR1) == 0 || mask() != BIT(SIGUSR2)) _exit(1);
      sigaction_(SIGUSR1, &none, NULL);
      procmask(SIG_SETMASK, &all, NULL);
      _exit(handler(SIGUSR1) == 0 && mask() == ~(BIT(SIGKILL) | BIT(SIGSTOP)) ? 7 : 1);
    }
    CHECK(WEXITSTATUS(status_of(child)) == 7);
    CHECK(handler(SIGUSR1) == (uint64_t)(uintptr_t)take && mask() == BIT(SIGUSR2));
  }
  // The default action, of a signal that was let in.
  const pid_t child = fork();
  if (child == 0) {
    change(SIG_BLOCK, BIT(SIGTERM));
    kill(getpid(), SIGTERM);
    change(SIG_UNBLOCK, BIT(SIGTERM));
    _exit(1);
  }
  const int status = status_of(child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  change(SIG_SETMASK, 0);
}

static void waits(void) {
  const set blocked = BIT(SIGUSR1) | BIT(SIGRTMIN);
  change(SIG_BLOCK, blocked);
  const int fd = (int)syscall(SYS_signalfd4, -1, &blocked, sizeof blocked, SFD_CLOEXEC);
  CHECK(fd >= 0 && kill(getpid(), SIGUSR1) == 0);
  struct signalfd_siginfo read_info;
  CHECK(read(fd, &read_info, sizeof read_info) == sizeof read_info);
  CHECK(read_info.ssi_signo == SIGUSR1);
  close(fd);
  const union sigval value = {.sival_int = 42};
  CHECK(sigqueue(getpid(), SIGRTMIN, value) == 0);
  siginfo_t info;
  CHECK(syscall(SYS_rt_sigtimedwait, &blocked, &info, NULL, sizeof blocked) == SIGRTMIN);
  CHECK(info.si_value.sival_int == 42);
  // The mask of a wait goes with it.
  install(SIGUSR1, take, 0);
  taken = 0;
  CHECK(kill(getpid(), SIGUSR1) == 0);
  const set none = 0;
  CHECK(syscall(SYS_rt_sigsuspend, &none, sizeof none) == -1 && errno == EINTR);
  CHECK(taken == 1 && (mask() & blocked) == blocked);
  change(SIG_UNBLOCK, blocked);
}

enum { kTimes = 200 };
static timer_t timer;

static void take_of_timer(int signal) {
  (void)signal;
  const struct itimerspec never = {{0, 0}, {0, 0}};
  if (++taken == kTimes) CHECK(timer_settime(timer, 0, &never, NULL) == 0);
}

// Signals of a timer come at any moment of what blocks them and lets them in.
static void storm(void) {
  install(SIGALRM, take_of_timer, SA_RESTART);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  const struct itimerspec times = {{0, 50000}, {0, 50000}};
  taken = 0;
  CHECK(timer_settime(timer, 0, &times, NULL) == 0);
  while (taken < kTimes) {
    change(SIG_BLOCK, BIT(SIGALRM) | BIT(SIGUSR1));
    const int before = taken;
    for (volatile int i = 0; i < 100; ++i) continue;
    CHECK(mask() == (BIT(SIGALRM) | BIT(SIGUSR1)));
    CHECK(taken == before);
    change(SIG_UNBLOCK, BIT(SIGALRM) | BIT(SIGUSR1));
    CHECK(mask() == 0);
  }
  CHECK(timer_delete(timer) == 0);
}

int main(int count, char** arguments) {
  if (count == 2) {
    // As execve leaves them: what is ignored and the mask stay, handlers and stack go.
    CHECK(handler(SIGUSR1) == 1 && handler(SIGUSR2) == 0 && handler(SIGSEGV) == 0);
    CHECK(mask() == BIT(SIGUSR2));
    stack_t stack;
    CHECK(sigaltstack(NULL, &stack) == 0 && stack.ss_flags == SS_DISABLE);
    puts("signal_calls: ok");
    return 0;
  }
  change(SIG_SETMASK, 0);
  dispositions();
  masks();
  let_in(SIGUSR1);
  let_in(SIGRTMIN + 3);
  let_in(SIGSEGV);
  reset();
  stacks();
  threads();
  children();
  waits();
  storm();
  install(SIGUSR1, SIG_IGN, 0);
  install(SIGUSR2, take, 0);
  install(SIGSEGV, take, 0);
  change(SIG_SETMASK, BIT(SIGUSR2));
  const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  CHECK(sigaltstack(&stack, NULL) == 0);
  execl("/proc/self/exe", arguments[0], "executed", NULL);
  CHECK(0);
}
