// Signals by where they come from and how they are taken: queued with values, timers, alarm, the
// end of children, storms from another thread, signalfd, waits, and a mask for the time of a call.
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t taken;
static siginfo_t last[16];

static void take(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  last[taken & 15] = *info;
  ++taken;
}

static void handle(int signal, int flags) {
  struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO | flags};
  CHECK(sigaction(signal, &action, NULL) == 0);
  taken = 0;
}

static sigset_t only(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

static void block(int signal) {
  const sigset_t set = only(signal);
  CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
}

static void unblock(int signal) {
  const sigset_t set = only(signal);
  CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
}

static void until_taken(int signal, int count) {
  sigset_t without;
  block(signal);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &without) == 0);
  sigdelset(&without, signal);
  while (taken < count) sigsuspend(&without);
  unblock(signal);
}

// Each is delivered, lower numbers first and those of one number in their order.
static void queued(void) {
  const int low = SIGRTMIN + 1, high = SIGRTMIN + 3;
  handle(high, 0);
  handle(low, 0);
  block(low);
  block(high);
  for (int i = 0; i < 3; ++i) {
    CHECK(sigqueue(getpid(), high, (union sigval){.sival_int = 10 + i}) == 0);
    CHECK(sigqueue(getpid(), low, (union sigval){.sival_int = i}) == 0);
  }
  unblock(low);
  CHECK(taken == 3);
  unblock(high);
  CHECK(taken == 6);
  for (int i = 0; i < 6; ++i) {
    CHECK(last[i].si_value.sival_int == (i < 3 ? i : 7 + i));
    CHECK(last[i].si_code == SI_QUEUE && last[i].si_pid == getpid());
  }
}

static volatile int order[4];

static void note(int signal) {
  order[taken & 3] = signal;
  ++taken;
}

// Those for the thread are taken before those for the process, lower numbers first: the handler of
// the last one taken runs first.
static void at_once(void) {
  const int signals[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGRTMIN + 1};
  sigset_t all, before;
  sigfillset(&all);
  CHECK(sigprocmask(SIG_SETMASK, &all, &before) == 0);
  for (int i = 0; i < 4; ++i) signal(signals[i], note);
  taken = 0;
  CHECK(kill(getpid(), SIGRTMIN + 1) == 0 && raise(SIGUSR2) == 0);
  CHECK(kill(getpid(), SIGHUP) == 0 && raise(SIGUSR1) == 0);
  CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
  CHECK(taken == 4 && order[0] == SIGRTMIN + 1 && order[1] == SIGHUP);
  CHECK(order[2] == SIGUSR2 && order[3] == SIGUSR1);
  for (int i = 0; i < 4; ++i) signal(signals[i], SIG_DFL);
}

static void timers(void) {
  handle(SIGRTMIN + 2, 0);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
  event.sigev_value.sival_ptr = &last;
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  const struct itimerspec often = {{0, 2000000}, {0, 2000000}};
  CHECK(timer_settime(timer, 0, &often, NULL) == 0);
  until_taken(SIGRTMIN + 2, 3);
  CHECK(last[0].si_code == SI_TIMER && last[0].si_value.sival_ptr == &last);
  CHECK(timer_delete(timer) == 0);

  handle(SIGALRM, 0);
  const struct itimerval soon = {{0, 0}, {0, 3000}};
  CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
  volatile unsigned long turns = 0;
  while (!taken) ++turns;
  handle(SIGALRM, SA_RESTART);
  CHECK(alarm(1) == 0);
  until_taken(SIGALRM, 1);
  handle(SIGPROF, 0);
  const struct itimerval busy = {{0, 1000}, {0, 1000}};
  const struct itimerval never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_PROF, &busy, NULL) == 0);
  while (taken < 2) ++turns;
  CHECK(setitimer(ITIMER_PROF, &never, NULL) == 0);
}

static void children(void) {
  handle(SIGCHLD, 0);
  pid_t child = fork();
  if (child == 0) _exit(7);
  until_taken(SIGCHLD, 1);
  CHECK(last[0].si_pid == child && last[0].si_code == CLD_EXITED && last[0].si_status == 7);
  CHECK(waitpid(child, NULL, 0) == child);
  handle(SIGCHLD, SA_NOCLDWAIT);
  child = fork();
  if (child == 0) _exit(7);
  until_taken(SIGCHLD, 1);
  CHECK(waitpid(child, NULL, 0) == -1 && errno == ECHILD);
  signal(SIGCHLD, SIG_DFL);
}

static volatile int over;

// As Go's runtime preempts its threads.
static void* storm(void* argument) {
  const pid_t tid = *(pid_t*)argument;
  while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
    CHECK(syscall(SYS_tgkill, getpid(), tid, SIGURG) == 0);
    sched_yield();
  }
  return NULL;
}

static void storms(void) {
  pid_t tid = gettid();
  pthread_t thread;
  handle(SIGURG, SA_RESTART);
  CHECK(pthread_create(&thread, NULL, storm, &tid) == 0);
  volatile unsigned long sum = 0;
  int ends[2];
  CHECK(pipe(ends) == 0);
  for (unsigned long i = 0; taken < 40; ++i) {
    char c = (char)i;
    sum += i;
    if (i % 1000 == 0) CHECK(write(ends[1], &c, 1) == 1 && read(ends[0], &c, 1) == 1);
  }
  __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(last[0].si_code == SI_TKILL);
}

static void waits(void) {
  siginfo_t info;
  struct timespec little = {0, 2000000};
  sigset_t set = only(SIGUSR2);
  block(SIGUSR2);
  CHECK(sigtimedwait(&set, &info, &little) == -1 && errno == EAGAIN);
  CHECK(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 5}) == 0);
  CHECK(sigtimedwait(&set, &info, &little) == SIGUSR2 && info.si_value.sival_int == 5);

  const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  struct signalfd_siginfo read_info;
  CHECK(fd >= 0 && read(fd, &read_info, sizeof read_info) == -1 && errno == EAGAIN);
  struct pollfd ready = {fd, POLLIN, 0};
  const pid_t parent = getpid(), child = fork();
  if (child == 0) _exit(kill(parent, SIGUSR2));
  CHECK(poll(&ready, 1, -1) == 1);
  CHECK(read(fd, &read_info, sizeof read_info) == sizeof read_info);
  CHECK(read_info.ssi_signo == SIGUSR2 && (pid_t)read_info.ssi_pid == child);
  CHECK(waitpid(child, NULL, 0) == child);
  close(fd);

  // Let in for the time of the call only: pending before it, or while it waits.
  handle(SIGUSR2, SA_RESTART);
  sigset_t none;
  sigemptyset(&none);
  CHECK(raise(SIGUSR2) == 0 && taken == 0);
  CHECK(ppoll(NULL, 0, NULL, &none) == -1 && errno == EINTR && taken == 1);
  const pid_t other = fork();
  if (other == 0) {
    nanosleep(&little, NULL);
    _exit(kill(parent, SIGUSR2));
  }
  CHECK(ppoll(NULL, 0, NULL, &none) == -1 && errno == EINTR && taken == 2);
  CHECK(waitpid(other, NULL, 0) == other);
  CHECK(raise(SIGUSR2) == 0 && taken == 2);
  unblock(SIGUSR2);
  CHECK(taken == 3);
}

int main(void) {
  queued();
  at_once();
  timers();
  children();
  storms();
  waits();
  puts("signal_sources: ok");
  return 0;
}
