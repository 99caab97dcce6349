/* A flag that a handler sets is looked at before pause(): a signal in between is lost, and the
 * pause does not end. Correct: sigsuspend with the signal blocked until then. */
#include <signal.h>
#include <unistd.h>

#include "two_threads.h"

static volatile sig_atomic_t told;
static pthread_t waiter_thread;
static int waiting;

static void on_signal(int number) {
  (void)number;
  told = 1;
}

static void* waiter(void* unused) {
#ifdef CORRECT
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  __atomic_store_n(&waiting, 1, __ATOMIC_RELEASE);
  while (!told) sigsuspend(&before);
#else
  __atomic_store_n(&waiting, 1, __ATOMIC_RELEASE);
  while (!told) pause();
#endif
  return unused;
}

static void* sender(void* unused) {
  while (!__atomic_load_n(&waiting, __ATOMIC_ACQUIRE)) sched_yield();
  pthread_kill(waiter_thread, SIGUSR1);
  return unused;
}

int main(void) {
  struct sigaction action = {0};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
  pthread_t other;
  pthread_create(&waiter_thread, NULL, waiter, NULL);
  pthread_create(&other, NULL, sender, NULL);
  pthread_join(waiter_thread, NULL);
  pthread_join(other, NULL);
  puts("told");
  return 0;
}
