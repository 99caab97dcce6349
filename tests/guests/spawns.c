// spawns [N]: runs itself N times by posix_spawn, one after another.
#define _GNU_SOURCE
#include <spawn.h>
#include <sys/wait.h>

#include "check.h"

int main(int argc, char** argv) {
  if (argc == 1) return 0;
  char* arguments[] = {argv[0], NULL};
  char* environment[] = {NULL};
  for (int i = 0; i < atoi(argv[1]); ++i) {
    pid_t child;
    int status;
    CHECK(posix_spawn(&child, argv[0], NULL, NULL, arguments, environment) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  }
  puts("spawns: ok");
  return 0;
}
