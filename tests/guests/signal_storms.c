// Timers whose signals come faster than a traced thread gets on: while it computes, in system calls
// that wait and that do not, and in their handlers.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { kTimes = 100, kMicrosecond = 1000 };
static timer_t timer;
static volatile sig_atomic_t taken;

static void arm(long interval) {
  const struct itimerspec times = {{0, interval}, {0, interval}};
  CHECK(timer_settime(timer, 0, &times, NULL) == 0);
}

static void take(int signal) {
  (void)signal;
  if (++taken == kTimes) arm(0);
}

static void take_alarm(int signal) {
  (void)signal;
  const struct itimerval none = {{0, 0}, {0, 0}};
  if (++taken == kTimes) CHECK(setitimer(ITIMER_REAL, &none, NULL) == 0);
}

static void compute(void) {
  for (volatile int i = 0; i < 1000; ++i) continue;
}

static void ask(void) {
  CHECK(getppid() > 0);
}

static void wait_a_little(void) {
  const struct timespec little = {0, 10 * kMicrosecond};
  nanosleep(&little, NULL);
}

int main(void) {
  void (*const works[])(void) = {compute, ask, wait_a_little};
  const int signals[] = {SIGRTMIN, SIGUSR1};
  for (unsigned s = 0; s < 2; ++s) {
    struct sigaction action = {.sa_handler = take, .sa_flags = SA_RESTART};
    CHECK(sigaction(signals[s], &action, NULL) == 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signals[s]};
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    for (unsigned w = 0; w < 3; ++w) {
      taken = 0;
      arm(kMicrosecond);
      while (taken < kTimes) works[w]();
    }
    CHECK(timer_delete(timer) == 0);
  }
  struct sigaction action = {.sa_handler = take_alarm, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  for (unsigned w = 0; w < 3; ++w) {
    taken = 0;
    const struct itimerval times = {{0, 1}, {0, 1}};
    CHECK(setitimer(ITIMER_REAL, &times, NULL) == 0);
    while (taken < kTimes) works[w]();
  }
  puts("signal_storms: ok");
  return 0;
}
