// Calls that wait, ended by a signal: EINTR, restart, or nothing at all, as the kernel has it for
// each. Every line of output is the same in each run.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t taken;
static int feed = -1;  // the handler writes a byte here, so that a restarted call can end
static uint64_t mask_in_handler;

static void on_signal(int number) {
  const int saved = errno;
  (void)number;
  taken++;
  sigset_t now;
  sigprocmask(SIG_SETMASK, NULL, &now);
  memcpy(&mask_in_handler, &now, sizeof mask_in_handler);
  if (feed >= 0) CHECK(write(feed, "x", 1) == 1);
  errno = saved;
}

static void install(int number, int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  CHECK(sigaction(number, &action, NULL) == 0);
}

// Again and again, in case the first one comes before the call waits.
static void alarm_soon(void) {
  const struct itimerval soon = {{0, 5000}, {0, 5000}};
  taken = 0;
  CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
}

static void no_alarm(void) {
  const struct itimerval never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

static void report(const char* what, long result) {
  printf("%s: %s%s\n", what, result < 0 ? strerror(errno) : "done", taken ? ", taken" : "");
}

static int pipes[2], pair[2], epoll;
static sigset_t only_alarm_blocked, none_blocked;

static long do_read(void) {
  char byte;
  return read(pipes[0], &byte, 1);
}
static long do_recv(void) {
  char byte;
  return recv(pair[0], &byte, 1, 0);
}
static long do_nanosleep(void) {
  struct timespec left = {0, 0};
  const long result = nanosleep(&(struct timespec){5, 0}, &left);
  CHECK(result == 0 || left.tv_sec < 5);
  return result;
}
static long do_clock_nanosleep(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 5;
  errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  return errno ? -1 : 0;
}
static long do_poll(void) {
  struct pollfd fd = {pipes[0], POLLIN, 0};
  return poll(&fd, 1, 5000);
}
static long do_select(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipes[0], &set);
  struct timeval limit = {5, 0};
  const long result = select(pipes[0] + 1, &set, NULL, NULL, &limit);
  CHECK(limit.tv_sec < 5);
  return result;
}
static long do_epoll(void) {
  struct epoll_event event;
  return epoll_wait(epoll, &event, 1, 5000);
}
static long do_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return sigtimedwait(&set, NULL, &(struct timespec){5, 0});
}
static long do_pause(void) {
  return pause();
}
static long do_futex(void) {
  uint32_t word = 0;
  return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){5, 0}, NULL, 0);
}
static long do_msgrcv(void) {
  struct {
    long type;
    char text[8];
  } message;
  const int queue = msgget(IPC_PRIVATE, 0600);
  CHECK(queue >= 0);
  const long result = msgrcv(queue, &message, sizeof message.text, 0, 0);
  const int saved = errno;
  msgctl(queue, IPC_RMID, NULL);
  errno = saved;
  return result;
}
static long do_semop(void) {
  const int set = semget(IPC_PRIVATE, 1, 0600);
  CHECK(set >= 0);
  const long result = semop(set, &(struct sembuf){0, -1, 0}, 1);
  const int saved = errno;
  semctl(set, 0, IPC_RMID);
  errno = saved;
  return result;
}
static long do_accept(void) {
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(bind(listener, &(struct sockaddr){AF_UNIX, ""}, sizeof(sa_family_t)) == 0);
  CHECK(listen(listener, 1) == 0);
  const struct timeval limit = {5, 0};  // with a limit, accept is not restarted
  CHECK(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
  const long result = accept(listener, NULL, NULL);
  const int saved = errno;
  close(listener);
  errno = saved;
  return result;
}

struct Call {
  const char* name;
  long (*make)(void);
  int fed;  // by the handler, if it is restarted
};
static const struct Call calls[] = {
    {"read", do_read, 1},           {"recv", do_recv, 1},
    {"nanosleep", do_nanosleep, 0}, {"clock_nanosleep", do_clock_nanosleep, 0},
    {"poll", do_poll, 0},           {"select", do_select, 0},
    {"epoll_wait", do_epoll, 0},    {"sigtimedwait", do_sigtimedwait, 0},
    {"pause", do_pause, 0},         {"futex", do_futex, 0},
    {"msgrcv", do_msgrcv, 0},       {"semop", do_semop, 0},
    {"accept", do_accept, 0}};

static int drained(int fd) {
  char byte;
  struct pollfd ready = {fd, POLLIN, 0};
  return poll(&ready, 1, 0) == 1 && read(fd, &byte, 1) == 1;
}

static void each_call(const char* how, int flags, int feeding) {
  install(SIGALRM, flags);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    feed = feeding && calls[i].fed ? (calls[i].make == do_recv ? pair[1] : pipes[1]) : -1;
    if (!feeding && calls[i].fed && (flags & SA_RESTART)) continue;  // would wait for ever
    alarm_soon();
    errno = 0;
    const long result = calls[i].make();
    const int error = errno;
    no_alarm();
    char fed;
    if (feed >= 0)  // more than the call read
      while (recv(pair[0], &fed, 1, MSG_DONTWAIT) == 1 || drained(pipes[0])) continue;
    errno = error;
    printf("%s ", how);
    report(calls[i].name, result);
  }
  feed = -1;
}

// A signal that is let through by the call's own mask only: its handler runs with that mask, and
// the old one is back afterwards.
static void own_masks(void) {
  install(SIGALRM, 0);
  CHECK(sigprocmask(SIG_SETMASK, &only_alarm_blocked, NULL) == 0);
  struct pollfd fd = {pipes[0], POLLIN, 0};
  struct epoll_event event;
  const struct timespec limit = {5, 0};
  for (int i = 0; i < 4; i++) {
    long result = 0;
    alarm_soon();
    switch (i) {
      case 0:
        result = ppoll(&fd, 1, &limit, &none_blocked);
        break;
      case 1:
        result = pselect(0, NULL, NULL, NULL, &limit, &none_blocked);
        break;
      case 2:
        result = epoll_pwait(epoll, &event, 1, 5000, &none_blocked);
        break;
      default:
        result = sigsuspend(&none_blocked);
        break;
    }
    CHECK(result == -1 && errno == EINTR && taken == 1);
    no_alarm();
    CHECK(mask_in_handler == (uint64_t)1 << (SIGALRM - 1));
    sigset_t now;
    CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGALRM) == 1);
  }
  // Nothing arrives: the mask is back too, and what came under the old one waits.
  alarm_soon();
  CHECK(ppoll(&fd, 1, &(struct timespec){0, 0}, &only_alarm_blocked) == 0);
  CHECK(taken == 0);
  CHECK(sigsuspend(&none_blocked) == -1 && taken == 1);
  no_alarm();
  CHECK(sigprocmask(SIG_SETMASK, &none_blocked, NULL) == 0);
  puts("own masks: ok");
}

static void* send_urgent(void* thread) {
  for (int i = 0; i < 3; i++) {
    usleep(2000);
    pthread_kill(*(pthread_t*)thread, SIGURG);
  }
  usleep(2000);
  CHECK(write(pipes[1], "x", 1) == 1);
  return NULL;
}

// What is ignored ends no call.
static void ignored(void) {
  pthread_t self = pthread_self(), sender;
  struct epoll_event event;
  char byte;
  signal(SIGURG, SIG_DFL);
  CHECK(pthread_create(&sender, NULL, send_urgent, &self) == 0);
  CHECK(epoll_wait(epoll, &event, 1, 10000) == 1);
  CHECK(pthread_join(sender, NULL) == 0 && read(pipes[0], &byte, 1) == 1);
  CHECK(pthread_create(&sender, NULL, send_urgent, &self) == 0);
  CHECK(read(pipes[0], &byte, 1) == 1);
  CHECK(pthread_join(sender, NULL) == 0);
  puts("ignored: ok");
}

int main(void) {
  CHECK(pipe2(pipes, O_CLOEXEC) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event in = {.events = EPOLLIN};
  CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &in) == 0);
  sigemptyset(&none_blocked);
  sigemptyset(&only_alarm_blocked);
  sigaddset(&only_alarm_blocked, SIGALRM);
  each_call("interrupted", 0, 0);
  each_call("restarted", SA_RESTART, 1);
  own_masks();
  ignored();
  puts("interrupted_calls: ok");
  return 0;
}
