/* native_runs N PROGRAM: forks, executes and waits for the program N times, its output thrown away;
 * prints runs per second. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const long runs = atol(argv[1]);
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const double begun = now();
  for (long i = 0; i < runs; ++i) {
    const pid_t pid = fork();
    if (pid < 0) return 1;
    if (pid == 0) {
      dup2(null, 1);
      dup2(null, 2);
      execl(argv[2], argv[2], (char*)NULL);
      _exit(127);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) == 127) return 1;
  }
  printf("%.1f\n", (double)runs / (now() - begun));
  return 0;
}
