// process_cases [execute STATUS]: processes by how they are made, how they end and who waits for
// them. The output is that of all of them, in one order.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

extern char** environ;
static const char* self;
static volatile int shared;
static int go[2];

static int ended(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// A vfork child has the memory, but descriptors of its own: one number leads to two things.
static void descriptors_of_vfork(void) {
  int ends[2], pair[2];
  char c = 0;
  CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(write(pair[0], "a", 1) == 1 && read(pair[1], &c, 1) == 1 && c == 'a');
  const pid_t child = vfork();
  if (child == 0) {
    CHECK(dup2(ends[1], pair[0]) == pair[0] && dup2(ends[0], pair[1]) == pair[1]);
    CHECK(write(pair[0], "b", 1) == 1 && read(pair[1], &c, 1) == 1 && c == 'b');
    const pid_t own = fork();
    if (own == 0) {
      CHECK(write(pair[0], "c", 1) == 1 && read(pair[1], &c, 1) == 1 && c == 'c');
      _exit(11);
    }
    _exit(ended(own));
  }
  CHECK(ended(child) == 11);
  CHECK(write(pair[0], "d", 1) == 1 && read(pair[1], &c, 1) == 1 && c == 'd');
  for (int i = 0; i < 2; ++i) CHECK(close(ends[i]) == 0 && close(pair[i]) == 0);
}

static int in_child(void* argument) {
  ++shared;
  return (int)(intptr_t)argument;
}

static void made(void) {
  pid_t child = fork();
  if (child == 0) _exit(++shared);
  CHECK(ended(child) == 1 && shared == 0);

  child = vfork();
  if (child == 0) {
    execl(self, self, "execute", "2", (char*)NULL);
    _exit(127);
  }
  CHECK(ended(child) == 2);
  child = vfork();
  if (child == 0) _exit(3);
  CHECK(ended(child) == 3);

  char* stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(stack != MAP_FAILED);
  child = clone(in_child, stack + 65536, SIGCHLD, (void*)4);
  CHECK(ended(child) == 4 && shared == 0);
  child = clone(in_child, stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, (void*)5);
  CHECK(ended(child) == 5 && shared == 1);
  CHECK(munmap(stack, 65536) == 0);

  int pidfd = -1;
  struct clone_args wanted = {
      .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD};
  child = (pid_t)syscall(SYS_clone3, &wanted, sizeof wanted);
  if (child == 0) _exit(6);
  siginfo_t info;
  CHECK(child > 0 && pidfd >= 0);
  CHECK(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0 && info.si_status == 6);
  close(pidfd);

  posix_spawn_file_actions_t actions;
  int ends[2];
  char text[8] = "";
  char* arguments[] = {(char*)self, "execute", "7", NULL};
  CHECK(pipe(ends) == 0 && posix_spawn_file_actions_init(&actions) == 0);
  CHECK(posix_spawn_file_actions_adddup2(&actions, ends[1], 1) == 0);
  CHECK(posix_spawn(&child, self, &actions, NULL, arguments, environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  CHECK(read(ends[0], text, sizeof text) == 2 && strcmp(text, "7\n") == 0);
  CHECK(ended(child) == 7);
  close(ends[0]), close(ends[1]);
  descriptors_of_vfork();
  puts("made");
}

static void* executes(void* argument) {
  execl(self, self, "execute", (char*)argument, (char*)NULL);
  return NULL;
}

static void* sleeps(void* argument) {
  pause();
  return argument;
}

// A program without a name.
static void executed_by_descriptor(void) {
  const pid_t child = fork();
  if (child == 0) {
    char* arguments[] = {(char*)self, "execute", "12", NULL};
    const int program = open(self, O_RDONLY), copy = memfd_create("copy", MFD_CLOEXEC);
    CHECK(program >= 0 && copy >= 0);
    while (sendfile(copy, program, NULL, 1 << 20) > 0) continue;
    fexecve(copy, arguments, environ);
    _exit(127);
  }
  CHECK(ended(child) == 12);
}

// Once the first thread has ended: it is a zombie then (proc(5)), whose place is taken all the
// same.
static void* executes_alone(void* argument) {
  char name[64], state = 0;
  snprintf(name, sizeof name, "/proc/self/task/%d/stat", (int)getpid());
  while (state != 'Z') {
    FILE* file = fopen(name, "r");
    CHECK(file && fscanf(file, "%*d %*s %c", &state) == 1);
    fclose(file);
    sched_yield();
  }
  return executes(argument);
}

// The other threads end, and the one that executes takes the first one's place.
static void executed_by_a_thread(void) {
  pid_t child = fork();
  if (child == 0) {
    pthread_t one, other;
    CHECK(pthread_create(&one, NULL, sleeps, NULL) == 0);
    CHECK(pthread_create(&other, NULL, executes, "8") == 0);
    pause();
  }
  CHECK(ended(child) == 8);
  child = fork();
  if (child == 0) {
    pthread_t one, other;
    CHECK(pthread_create(&one, NULL, sleeps, NULL) == 0);
    CHECK(pthread_create(&other, NULL, executes_alone, "9") == 0);
    pthread_exit(NULL);
  }
  CHECK(ended(child) == 9);
  puts("executed");
}

static void statuses(void) {
  const struct rlimit none = {0, 0};
  CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
  const int ends[] = {SIGTERM, SIGKILL, SIGSEGV, SIGABRT, SIGRTMIN};
  for (int i = 0; i < 5; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      raise(ends[i]);
      _exit(99);
    }
    CHECK(ended(child) == 1000 + ends[i]);
  }
  const pid_t first = fork();
  if (first == 0) _exit(1);
  siginfo_t info;
  CHECK(waitid(P_PID, (id_t)first, &info, WEXITED | WNOWAIT) == 0);
  CHECK(info.si_code == CLD_EXITED && info.si_status == 1);
  int status;
  struct rusage usage;
  CHECK(wait4(-1, &status, 0, &usage) == first && WEXITSTATUS(status) == 1);
  CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
  const pid_t second = fork();
  if (second == 0) {
    pause();
    _exit(0);
  }
  CHECK(waitpid(second, &status, WNOHANG) == 0);
  CHECK(kill(second, SIGHUP) == 0 && ended(second) == 1000 + SIGHUP);
  puts("ended");
}

// Its own call is the end of it, while others live on.
static void killed_by_itself(void) {
  const pid_t other = fork();
  if (other == 0) {
    pause();
    _exit(0);
  }
  const pid_t child = fork();
  if (child == 0) {
    kill(getpid(), SIGKILL);
    _exit(99);
  }
  CHECK(ended(child) == 1000 + SIGKILL);
  CHECK(kill(other, SIGKILL) == 0 && ended(other) == 1000 + SIGKILL);
  puts("killed by itself");
}

static void* waits_to_be_killed(void* argument) {
  (void)argument;
  CHECK(write(go[1], "", 1) == 1);
  while (1) pause();
}

// Killed while its first thread computes and the other waits in a call.
static void killed_with_threads(void) {
  CHECK(pipe(go) == 0);
  const pid_t child = fork();
  if (child == 0) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, waits_to_be_killed, NULL) == 0);
    while (1) shared++;
  }
  char byte;
  CHECK(read(go[0], &byte, 1) == 1);
  CHECK(usleep(10000) == 0);  // the other thread comes to its call
  CHECK(kill(child, SIGKILL) == 0 && ended(child) == 1000 + SIGKILL);
  close(go[0]);
  close(go[1]);
  puts("killed with its threads");
}

// Forked twice, in a session of its own: an orphan, whom its nearest subreaper waits for.
static void daemons(void) {
  int ends[2];
  pid_t parent = 0;
  CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  CHECK(pipe(ends) == 0);
  const pid_t middle = fork();
  if (middle == 0) {
    CHECK(setsid() > 0);
    if (fork() == 0) {
      CHECK(chdir("/") == 0);
      while (getppid() == getpgrp()) sched_yield();  // until the leader of the session has ended
      const pid_t parent = getppid();
      CHECK(write(ends[1], &parent, sizeof parent) == sizeof parent);
      _exit(10);
    }
    _exit(9);
  }
  CHECK(ended(middle) == 9);
  CHECK(read(ends[0], &parent, sizeof parent) == sizeof parent && parent == getpid());
  int status = 0;
  CHECK(wait(&status) > 0 && WEXITSTATUS(status) == 10);
  CHECK(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
  puts("orphaned");
}

// Told of the end of its parent.
static void parents_end(void) {
  int ends[2];
  char c;
  CHECK(pipe(ends) == 0);
  const pid_t middle = fork();
  if (middle == 0) {
    const pid_t parent = getpid();
    if (fork() == 0) {
      CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
      if (getppid() != parent) _exit(0);
      pause();
    }
    _exit(0);
  }
  CHECK(ended(middle) == 0);
  close(ends[1]);
  CHECK(read(ends[0], &c, 1) == 0);  // the last who had the other end is gone
  puts("told");
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "execute") == 0) {
    printf("%s\n", argv[2]);
    return atoi(argv[2]);
  }
  setvbuf(stdout, NULL, _IONBF, 0);
  self = argv[0];
  made();
  executed_by_a_thread();
  executed_by_descriptor();
  statuses();
  killed_by_itself();
  killed_with_threads();
  daemons();
  parents_end();
  puts("process_cases: ok");
  return 0;
}
