/* A counter that a SIGALRM handler and the thread that it interrupts both increment. The volatile
 * one is loaded, incremented and stored by instructions of its own, and a signal in between is
 * lost. Correct: not volatile, and so one instruction, which no handler of the same thread tears.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

#ifdef CORRECT
static int counter;
#else
static volatile int counter;
#endif
static volatile sig_atomic_t signals;

static void on_alarm(int number) {
  (void)number;
  counter++;
  signals++;
}

__attribute__((noipa)) static void work(void) {
  counter++;
  for (int i = 0; i < 20000; ++i) __asm__ volatile("");
}

int main(void) {
  struct sigaction action = {0};
  action.sa_handler = on_alarm;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, NULL);
  struct itimerval soon = {{0, 0}, {0, 500}};
  setitimer(ITIMER_REAL, &soon, NULL);
  int done = 0;
  while (signals == 0 || done < 10) {
    work();
    done++;
  }
  const int lost = done + signals - counter;
  printf("lost %d\n", lost);
  return 0;
}
