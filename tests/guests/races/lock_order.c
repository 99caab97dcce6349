/* Two locks, taken in opposite orders: a deadlock. Correct: taken in one order. */
#include "two_threads.h"

static pthread_mutex_t from = PTHREAD_MUTEX_INITIALIZER, to = PTHREAD_MUTEX_INITIALIZER;
static int balance_from = 100, balance_to = 100;

static void* forth(void* unused) {
  pthread_mutex_lock(&from);
  pthread_mutex_lock(&to);
  balance_from -= 10;
  balance_to += 10;
  pthread_mutex_unlock(&to);
  pthread_mutex_unlock(&from);
  return unused;
}

static void* back(void* unused) {
#ifdef CORRECT
  pthread_mutex_lock(&from);
  pthread_mutex_lock(&to);
#else
  pthread_mutex_lock(&to);
  pthread_mutex_lock(&from);
#endif
  balance_to -= 20;
  balance_from += 20;
  pthread_mutex_unlock(&from);
  pthread_mutex_unlock(&to);
  return unused;
}

int main(void) {
  run_both(forth, back);
  printf("%d %d\n", balance_from, balance_to);
  return 0;
}
