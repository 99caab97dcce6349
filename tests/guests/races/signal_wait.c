/* A thread that waits for a signal with sigwait. Wrong: it blocks the signal itself, so that one
 * that is sent before that runs the handler instead, and the wait does not end. Correct: blocked
 * before the thread is made. */
#include <signal.h>

#include "two_threads.h"

static pthread_t waiter_thread;
static int waited, handled;

static void on_signal(int number) {
  (void)number;
  handled = 1;
}

static void* waiter(void* unused) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &wanted, NULL);
  waited = sigwaitinfo(&wanted, NULL) == SIGUSR1;
  return unused;
}

static void* sender(void* unused) {
  pthread_kill(waiter_thread, SIGUSR1);
  return unused;
}

int main(void) {
  struct sigaction action = {0};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
#ifdef CORRECT
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
#endif
  pthread_t other;
  pthread_create(&waiter_thread, NULL, waiter, NULL);
  pthread_create(&other, NULL, sender, NULL);
  pthread_join(waiter_thread, NULL);
  pthread_join(other, NULL);
  printf("waited %d handled %d\n", waited, handled);
  return 0;
}
