/* Children made in every usual way, beside a thread: by system, popen, fork with and without
 * execve, and one that makes a child of its own. What the program prints depends on no order. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int of_system;

static void* by_system(void* unused) {
  of_system = WEXITSTATUS(system("exit 3"));
  return unused;
}

static void by_popen(void) {
  char line[64];
  FILE* lines = popen("echo one; echo two", "r");
  if (!lines) abort();
  while (fgets(line, sizeof line, lines)) printf("popen: %s", line);
  printf("popen: %d\n", pclose(lines));
}

static void by_fork(void) {
  int ends[2], status;
  if (pipe(ends) != 0) abort();
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    execl("/bin/echo", "echo", "from a child", (char*)NULL);
    _exit(127);
  }
  close(ends[1]);
  char line[64];
  const ssize_t size = read(ends[0], line, sizeof line - 1);
  line[size > 0 ? size : 0] = '\0';
  if (read(ends[0], line + 32, 1) != 0) abort();
  close(ends[0]);
  if (waitpid(child, &status, 0) != child) abort();
  printf("fork: %d, %s", WEXITSTATUS(status), line);
}

static int nested(void) {
  int status;
  const pid_t child = fork();
  if (child == 0) _exit(4);
  return waitpid(child, &status, 0) == child ? WEXITSTATUS(status) + 1 : 1;
}

static void without_a_program(void) {
  int status;
  pid_t child = fork();
  if (child == 0) _exit(nested());
  if (waitpid(child, &status, 0) != child) abort();
  printf("nested: %d\n", WEXITSTATUS(status));
  child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  kill(child, SIGTERM);
  if (waitpid(child, &status, 0) != child) abort();
  printf("signal: %d\n", WTERMSIG(status));
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  pthread_t thread;
  if (pthread_create(&thread, NULL, by_system, NULL) != 0) abort();
  by_popen();
  pthread_join(thread, NULL);
  printf("system: %d\n", of_system);
  by_fork();
  without_a_program();
  return 0;
}
