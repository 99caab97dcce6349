/* A counter that a handler increments in whichever thread takes the signal, and another thread
 * too: one instruction or not, two processors tear it. Correct: a locked instruction. */
#include <signal.h>
#include <time.h>

#include "two_threads.h"

static int counter;
static volatile sig_atomic_t signals;

static void count(void) {
#ifdef CORRECT
  __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
#else
  counter++;
#endif
}

static void on_signal(int number) {
  (void)number;
  count();
  signals = 1;
}

static void* waiter(void* unused) {
  const struct timespec while_ = {0, 1000000};
  while (!signals) nanosleep(&while_, NULL);
  return unused;
}

static void* worker(void* thread) {
  pthread_kill(*(pthread_t*)thread, SIGUSR1);
  for (int i = 0; i < 10; ++i) count();
  return NULL;
}

int main(void) {
  struct sigaction action = {0};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
  pthread_t one, other;
  pthread_create(&one, NULL, waiter, NULL);
  pthread_create(&other, NULL, worker, &one);
  pthread_join(one, NULL);
  pthread_join(other, NULL);
  printf("counter %d\n", counter);
  return 0;
}
