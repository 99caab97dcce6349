/* A signal to a child's number after another thread has waited for it: the number is nobody's by
 * then, or another process's. Correct: what is waited for is marked under the lock that the signal
 * is sent under. */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "two_threads.h"

extern char** environ;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t child;
static int status, reaped;

static void* waiter(void* unused) {
#ifdef CORRECT
  siginfo_t ended;
  if (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT) != 0) abort();
  pthread_mutex_lock(&lock);
#endif
  if (waitpid(child, &status, 0) != child) abort();
#ifdef CORRECT
  reaped = 1;
  pthread_mutex_unlock(&lock);
#endif
  return unused;
}

static void* sender(void* unused) {
#ifdef CORRECT
  pthread_mutex_lock(&lock);
  if (!reaped) kill(child, SIGCONT);
  pthread_mutex_unlock(&lock);
#else
  kill(child, SIGCONT);
#endif
  return unused;
}

int main(void) {
  char* const arguments[] = {"true", NULL};
  if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) != 0) abort();
  run_both(sender, waiter);
  printf("exit status %d\n", WEXITSTATUS(status));
  return 0;
}
