// A process that is stopped and continued, as its parent sees it: by itself, by its parent, in a
// call that waits, with several threads, with a handler, with signals blocked, and in an orphaned
// process group.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t told[NSIG], last_code;

static void note(int signal, siginfo_t* info, void* context) {
  (void)context;
  ++told[signal];
  last_code = info->si_code;
}

static void handle(int signal, int flags) {
  struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | flags};
  CHECK(sigaction(signal, &action, NULL) == 0);
}

static int go[2];

// What continues a process is forgotten when it is stopped again: the child waits for its parent.
static void let(void) {
  CHECK(write(go[1], "", 1) == 1);
}
static void be_let(void) {
  char c;
  while (read(go[0], &c, 1) != 1) CHECK(errno == EINTR);
}

// A child that ends, once its work is done, when its parent lets it.
static pid_t start(int (*work)(void)) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    const int status = work();
    be_let();
    _exit(status);
  }
  return child;
}

static void is_stopped(pid_t child, int signal) {
  int status = 0;
  CHECK(waitpid(child, &status, WUNTRACED) == child);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == signal);
}

static void is_continued(pid_t child) {
  int status = 0;
  CHECK(kill(child, SIGCONT) == 0);
  CHECK(waitpid(child, &status, WCONTINUED) == child);
  CHECK(WIFCONTINUED(status));
}

static void ends(pid_t child, int wanted) {
  int status = 0;
  let();
  CHECK(waitpid(child, &status, 0) == child);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != wanted)
    printf("ended with %#x instead of %d\n", (unsigned)status, wanted), exit(1);
}

// Until the child waits in a system call.
static void until_it_waits(pid_t child) {
  char name[64], state = 0;
  snprintf(name, sizeof name, "/proc/%d/stat", (int)child);
  while (state != 'S') {
    FILE* file = fopen(name, "r");
    CHECK(file && fscanf(file, "%*d %*s %c", &state) == 1);
    fclose(file);
    sched_yield();
  }
}

static int stops_itself(void) {
  int sum = 0;
  for (int i = 0; i < 3; ++i) {
    sum += i;
    raise(i == 1 ? SIGTSTP : SIGSTOP);
    if (i < 2) be_let();
  }
  return 10 + sum;
}

static int computes(void) {
  volatile unsigned long n = 0;
  handle(SIGCONT, 0);
  handle(SIGUSR1, 0);
  CHECK(kill(getppid(), SIGUSR1) == 0);
  while (!told[SIGUSR1]) ++n;
  return told[SIGCONT] > 0 ? 2 : 0;  // a stop that follows at once takes one back
}

static int sleeps(void) {
  const struct timespec second = {0, 300000000};
  CHECK(kill(getppid(), SIGUSR1) == 0);
  return nanosleep(&second, NULL) == 0 ? 4 : errno;
}

static int reads(void) {
  char c = 0;
  int ends[2];
  CHECK(pipe(ends) == 0);
  handle(SIGCONT, SA_RESTART);
  handle(SIGUSR1, 0);
  CHECK(kill(getppid(), SIGUSR1) == 0);
  return read(ends[0], &c, 1) < 0 && errno == EINTR ? 20 + told[SIGCONT] : 99;
}

// epoll_wait is one of the calls that a stop ends.
static int polls(void) {
  struct epoll_event event;
  const int epoll = epoll_create1(0);
  CHECK(kill(getppid(), SIGUSR1) == 0);
  return epoll_wait(epoll, &event, 1, -1) < 0 && errno == EINTR ? 5 : 99;
}

static volatile int done;

static void* spins(void* argument) {
  unsigned long n = 0;
  while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) ++n;
  return argument;
}

static void* waits(void* argument) {
  const struct timespec little = {0, 1000000};
  while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) nanosleep(&little, NULL);
  return argument;
}

static int has_threads(void) {
  pthread_t threads[3];
  handle(SIGUSR1, 0);
  for (int i = 0; i < 3; ++i)
    CHECK(pthread_create(&threads[i], NULL, i == 1 ? waits : spins, NULL) == 0);
  CHECK(kill(getppid(), SIGUSR1) == 0);
  while (!told[SIGUSR1]) sched_yield();
  __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 3; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  return 6;
}

static int has_handler(void) {
  handle(SIGTSTP, 0);
  raise(SIGTSTP);
  signal(SIGTSTP, SIG_DFL);
  const int handled = told[SIGTSTP];
  raise(SIGTSTP);
  signal(SIGTSTP, SIG_IGN);
  raise(SIGTSTP);
  return 7 + handled;
}

// SIGCONT takes back a stop that was blocked, also where SIGCONT itself is.
static int blocks(void) {
  sigset_t both, pending;
  sigemptyset(&both);
  sigaddset(&both, SIGTSTP);
  sigaddset(&both, SIGCONT);
  CHECK(sigprocmask(SIG_BLOCK, &both, NULL) == 0);
  raise(SIGTSTP);
  CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGTSTP));
  raise(SIGCONT);
  CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGTSTP));
  CHECK(sigprocmask(SIG_UNBLOCK, &both, NULL) == 0);
  return 9;
}

// Its parent is in the same session and another group, so that nobody could continue it.
static int is_orphaned(void) {
  CHECK(setsid() > 0);
  raise(SIGTSTP);
  return 11;
}

static void wait_for(int signal) {
  sigset_t blocked, none;
  sigemptyset(&blocked);
  sigaddset(&blocked, signal);
  CHECK(sigprocmask(SIG_BLOCK, &blocked, &none) == 0);
  while (!told[signal]) sigsuspend(&none);
  told[signal] = 0;
  CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

// Stopped while it does `work`, which may wait in a call; then ended by `ending`, if that is not 0.
static void stopped_in(int (*work)(void), int waiting, int times, int stop, int ending,
                       int wanted) {
  const pid_t child = start(work);
  wait_for(SIGUSR1);
  for (int i = 0; i < times; ++i) {
    if (waiting) until_it_waits(child);
    CHECK(kill(child, stop) == 0);
    is_stopped(child, stop);
    CHECK(waitpid(child, NULL, WNOHANG | WUNTRACED) == 0);
    is_continued(child);
  }
  if (waiting && ending) until_it_waits(child);
  if (ending) CHECK(kill(child, ending) == 0);
  ends(child, wanted);
}

static int jobs(void) {
  CHECK(pipe(go) == 0);
  handle(SIGUSR1, 0);
  pid_t child = start(stops_itself);
  for (int i = 0; i < 3; ++i) {
    is_stopped(child, i == 1 ? SIGTSTP : SIGSTOP);
    is_continued(child);
    if (i < 2) let();
  }
  ends(child, 13);

  stopped_in(computes, 0, 2, SIGSTOP, SIGUSR1, 2);
  stopped_in(sleeps, 1, 1, SIGTSTP, 0, 4);
  stopped_in(reads, 1, 2, SIGTTIN, SIGUSR1, 22);
  stopped_in(polls, 1, 1, SIGTTOU, 0, 5);
  stopped_in(has_threads, 0, 2, SIGSTOP, SIGUSR1, 6);

  child = start(has_handler);
  is_stopped(child, SIGTSTP);
  is_continued(child);
  ends(child, 8);
  ends(start(blocks), 9);
  ends(start(is_orphaned), 11);

  // Its end comes where it is stopped.
  child = start(stops_itself);
  is_stopped(child, SIGSTOP);
  CHECK(kill(child, SIGTERM) == 0);
  CHECK(waitpid(child, NULL, WNOHANG) == 0);
  CHECK(kill(child, SIGKILL) == 0);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGKILL);

  // What SIGCHLD says.
  handle(SIGCHLD, 0);
  child = start(stops_itself);
  wait_for(SIGCHLD);
  CHECK(last_code == CLD_STOPPED);
  CHECK(kill(child, SIGKILL) == 0);
  wait_for(SIGCHLD);
  CHECK(last_code == CLD_KILLED);
  CHECK(waitpid(child, NULL, 0) == child);
  handle(SIGCHLD, SA_NOCLDSTOP);
  child = start(stops_itself);
  is_stopped(child, SIGSTOP);
  CHECK(told[SIGCHLD] == 0);
  CHECK(kill(child, SIGKILL) == 0);
  wait_for(SIGCHLD);
  siginfo_t info;
  CHECK(waitid(P_PID, (id_t)child, &info, WEXITED) == 0 && info.si_code == CLD_KILLED);
  puts("stopped and continued");
  return 0;
}

// In a group of its own whose parent is in the same session, as a shell's jobs are: the kernel
// ignores SIGTSTP, SIGTTIN and SIGTTOU in an orphaned one (setpgid(2)), which this program's may
// be.
int main(void) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(setpgid(0, 0) == 0);
    return jobs();
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
