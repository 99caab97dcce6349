// Calls that heddle serves in the program: a signal that a call makes comes before the call
// returns, descriptors are what they became, and files show what was written to them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t broken;
static void on_pipe(int number) {
  broken += number == SIGPIPE;
}

static void signals_of_calls(void) {
  signal(SIGPIPE, on_pipe);
  for (int i = 1; i <= 10; i++) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    close(ends[0]);
    CHECK(write(ends[1], "x", 1) == -1 && errno == EPIPE);
    CHECK(broken == 2 * i - 1);
    close(ends[1]);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    close(ends[0]);
    CHECK(write(ends[1], "x", 1) == -1 && errno == EPIPE);
    CHECK(broken == 2 * i);
    CHECK(send(ends[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    CHECK(broken == 2 * i);
    close(ends[1]);
  }
}

// The same number for other things in turn.
static void descriptors(const char* name) {
  char buffer[16];
  for (int i = 0; i < 5; i++) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], "pipe", 4) == 4 && read(ends[0], buffer, sizeof buffer) == 4);
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0 && dup2(file, ends[1]) == ends[1]);
    CHECK(write(ends[1], "file", 4) == 4 && pread(file, buffer, 4, 0) == 4);
    CHECK(memcmp(buffer, "file", 4) == 0);
    CHECK(read(ends[0], buffer, sizeof buffer) == 0);
    close(ends[0]);
    int counter = eventfd(0, EFD_NONBLOCK);
    CHECK(counter == ends[0]);
    unsigned long value = 1;
    CHECK(read(counter, &value, sizeof value) == -1 && errno == EAGAIN);
    CHECK(write(counter, &value, sizeof value) == 8 && write(counter, &value, sizeof value) == 8);
    CHECK(read(counter, &value, sizeof value) == 8 && value == 2);
    CHECK(close_range((unsigned)counter, (unsigned)counter, 0) == 0);
    CHECK(pipe2(ends, O_NONBLOCK) == 0 && ends[0] == counter);
    CHECK(read(ends[0], buffer, sizeof buffer) == -1 && errno == EAGAIN);
    CHECK(close_range((unsigned)file, ~0u, 0) == 0);
  }
}

// A file shows what is written, whichever comes first and through whichever descriptor.
static void mapped(const char* name) {
  int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600), other = open(name, O_WRONLY);
  for (int i = 0; i < 100; i++) CHECK(pwrite(other, "before", 6, i * 6) == 6);
  const char* shown = mmap(0, 4096, PROT_READ, MAP_SHARED, file, 0);
  const char* own = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  CHECK(shown != MAP_FAILED && own != MAP_FAILED && memcmp(own + 594, "before", 6) == 0);
  for (char i = 'a'; i <= 'z'; i++) {
    CHECK(pwrite(other, &i, 1, 3) == 1);
    CHECK(shown[3] == i && own[3] == i);
  }
  CHECK(munmap((void*)shown, 4096) == 0 && munmap((void*)own, 4096) == 0);
  for (char i = 'a'; i <= 'z'; i++) CHECK(pwrite(other, &i, 1, 4) == 1);
  CHECK(close(other) == 0 && close(file) == 0);
}

// A child that shares the memory for a while has descriptors of its own.
static void children(const char* name) {
  int kept = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(write(kept, "parent\n", 7) == 7 && write(kept, "parent\n", 7) == 7);
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, ends[1], kept);
  char* arguments[] = {"sh", "-c", "echo child", 0};
  char* environment[] = {0};
  pid_t pid;
  CHECK(posix_spawn(&pid, "/bin/sh", &actions, 0, arguments, environment) == 0);
  CHECK(write(kept, "parent\n", 7) == 7);
  char text[32] = "";
  CHECK(read(ends[0], text, sizeof text) == 6 && strcmp(text, "child\n") == 0);
  int status;
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  pid = fork();
  if (pid == 0) {
    close(kept);
    CHECK(socket(AF_UNIX, SOCK_STREAM, 0) == kept);
    _exit(write(kept, "x", 1) == -1 ? 0 : 1);
  }
  CHECK(write(kept, "parent\n", 7) == 7);
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  struct stat info;
  CHECK(fstat(kept, &info) == 0 && info.st_size == 28);
  CHECK(close(kept) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static int requests[2], answers[2];
static void* answer(void* unused) {
  char c;
  while (read(requests[0], &c, 1) == 1) CHECK(write(answers[1], &c, 1) == 1);
  return unused;
}

// What waits for another thread, and what does not.
static void waiting(void) {
  CHECK(pipe(requests) == 0 && pipe(answers) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, 0, answer, 0) == 0);
  int poller = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = 5};
  CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, answers[0], &event) == 0);
  for (char i = 0; i < 50; i++) {
    char c = (char)~i;
    CHECK(write(requests[1], &i, 1) == 1);
    if (i % 3 == 0) {
      struct pollfd one = {.fd = answers[0], .events = POLLIN};
      CHECK(poll(&one, 1, -1) == 1 && one.revents == POLLIN);
    } else if (i % 3 == 1) {
      event.data.fd = 0;
      CHECK(epoll_wait(poller, &event, 1, -1) == 1 && event.data.fd == 5);
    }
    CHECK(read(answers[0], &c, 1) == 1 && c == i);
    CHECK(epoll_wait(poller, &event, 1, 0) == 0);
  }
  close(requests[1]);
  CHECK(pthread_join(thread, 0) == 0);
}

static int apart(void* name) {
  // Its own descriptors, the same memory.
  int file = open(name, O_RDONLY);
  close(file + 1);
  return 0;
}

static void apart_from_its_descriptors(const char* name) {
  static char stack[65536] __attribute__((aligned(16)));
  int status;
  pid_t pid = clone(apart, stack + sizeof stack, CLONE_VM | SIGCHLD, (void*)name);
  CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void) {
  char name[] = "/tmp/heddle-served-XXXXXX";
  CHECK(close(mkstemp(name)) == 0);
  setvbuf(stdout, 0, _IONBF, 0);
  for (int i = 0; i < 3; i++) puts("a line");
  signals_of_calls();
  descriptors(name);
  mapped(name);
  children(name);
  waiting();
  apart_from_its_descriptors(name);
  // The standard output by another name, and something else by its own.
  int out = dup(1), file = open(name, O_WRONLY);
  CHECK(dup2(file, 1) == 1 && write(1, "hidden\n", 7) == 7);
  CHECK(write(out, "shown\n", 6) == 6 && dup2(out, 1) == 1);
  CHECK(unlink(name) == 0);
  puts("served_calls: ok");
  return 0;
}
