// Children: posix_spawn (vfork and exec) of /bin/true and /bin/false, and a plain fork that writes
// to its own copy of memory and to a pipe.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

extern char** environ;

static volatile int copied = 1;

static int spawn(char* path) {
  pid_t child;
  char* arguments[] = {path, NULL};
  int status;
  CHECK(posix_spawn(&child, path, NULL, NULL, arguments, environ) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void forked(void) {
  int fds[2], status;
  char word[8] = "";
  CHECK(pipe(fds) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    copied = 2;
    _exit(write(fds[1], "child", 6) == 6 ? 7 : 1);
  }
  CHECK(close(fds[1]) == 0);
  CHECK(read(fds[0], word, sizeof word) == 6 && strcmp(word, "child") == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  CHECK(copied == 1);
}

int main(void) {
  CHECK(spawn("/bin/true") == 0);
  CHECK(spawn("/bin/false") == 1);
  forked();
  puts("fork_exec: ok");
  return 0;
}
