// Runs until nobody traces it any more, and checks that it has everything that it had: threads in
// the middle of calls, masks, handlers, an alternate stack, a pending signal with its value.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static __thread int own = 1;
static int channel[2], poll_channel[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int released;
static volatile int value, on_stack;  // a handler writes them
static char stack[1 << 16];
static sigjmp_buf after_fault;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int traced(void) {
  FILE* status = fopen("/proc/self/status", "r");
  char line[256];
  int tracer = -1;
  while (fgets(line, sizeof line, status)) sscanf(line, "TracerPid: %d", &tracer);
  fclose(status);
  return tracer != 0;
}

static void* reads(void* unused) {
  char byte = 0;
  own = 2;
  CHECK(read(channel[0], &byte, 1) == 1 && byte == 'x');
  CHECK(own == 2);
  return unused;
}

static void* polls(void* unused) {
  struct pollfd wanted = {poll_channel[0], POLLIN, 0};
  CHECK(poll(&wanted, 1, -1) == 1 && (wanted.revents & POLLIN));
  return unused;
}

static void* sleeps(void* unused) {
  const struct timespec two = {2, 0};
  const double began = seconds();
  CHECK(nanosleep(&two, NULL) == 0);
  CHECK(seconds() - began >= 2);
  return unused;
}

static void* waits(void* unused) {
  pthread_mutex_lock(&mutex);
  while (!released) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  return unused;
}

static void queued(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  value = info->si_value.sival_int;
  char here;
  on_stack = (uintptr_t)&here - (uintptr_t)stack < sizeof stack;
}

static void fault(int signal) {
  (void)signal;
  siglongjmp(after_fault, 1);
}

static void check_maps(void) {
  FILE* maps = fopen("/proc/self/maps", "r");
  char line[512];
  unsigned long start, end;
  while (fgets(line, sizeof line, maps)) {
    CHECK(sscanf(line, "%lx-%lx", &start, &end) == 2);
    CHECK(!strstr(line, "heddle"));
    CHECK(start < 0x60000000 || start >= 0x69000000 || start == 0x60100000);
  }
  fclose(maps);
}

int main(void) {
  CHECK(pipe(channel) == 0 && pipe(poll_channel) == 0);
  const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
  CHECK(sigaltstack(&other, NULL) == 0);
  struct sigaction action = {.sa_sigaction = queued, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
  action = (struct sigaction){.sa_handler = fault};
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
  signal(SIGUSR1, SIG_IGN);
  sigset_t blocked, mask;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN);
  sigaddset(&blocked, SIGTERM);
  CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
  CHECK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42}) == 0);

  void* (*const bodies[])(void*) = {reads, polls, sleeps, waits};
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) CHECK(pthread_create(&threads[i], NULL, bodies[i], NULL) == 0);

  const double began = seconds();
  double sum = 0;
  uint64_t hash = 1, steps = 0;
  while (traced()) {
    for (int i = 0; i < 20000; ++i, ++steps) {
      hash = hash * 6364136223846793005u + 1442695040888963407u;
      sum += 0.5;
    }
    CHECK(seconds() - began < 60);
  }
  uint64_t again = 1;
  for (uint64_t i = 0; i < steps; ++i) again = again * 6364136223846793005u + 1442695040888963407u;
  CHECK(hash == again && sum == (double)steps / 2);
  CHECK(own == 1);
  check_maps();

  CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
  CHECK(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGRTMIN));
  CHECK(!sigismember(&mask, SIGSEGV) && !sigismember(&mask, SIGTRAP));
  CHECK(value == 0);
  CHECK(sigprocmask(SIG_UNBLOCK, &blocked, NULL) == 0);
  CHECK(value == 42);
  CHECK(on_stack);
  volatile uintptr_t unmapped = 8;
  if (sigsetjmp(after_fault, 1) == 0) *(volatile int*)unmapped = 1;
  CHECK(raise(SIGUSR1) == 0);

  CHECK(write(channel[1], "x", 1) == 1 && write(poll_channel[1], "x", 1) == 1);
  pthread_mutex_lock(&mutex);
  released = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < 4; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  const pid_t child = fork();
  if (child == 0) _exit(9);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 9);
  puts("goes_on: ok");
  return 5;
}
