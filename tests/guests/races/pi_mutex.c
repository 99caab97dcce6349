/* A counter under a mutex with priority inheritance. Wrong: who does not get it at once goes on
 * without it. */
#include "two_threads.h"

static pthread_mutex_t lock;
static int counter;

OPAQUE static void add(void) {
  counter = counter + 1;
}

static void* count(void* unused) {
  for (int i = 0; i < 3; ++i) {
#ifdef CORRECT
    const int held = pthread_mutex_lock(&lock) == 0;
#else
    const int held = pthread_mutex_trylock(&lock) == 0;
#endif
    add();
    if (held) pthread_mutex_unlock(&lock);
  }
  return unused;
}

int main(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) != 0) abort();
  pthread_mutex_init(&lock, &attributes);
  run_both(count, count);
  printf("%d\n", counter);
  return 0;
}
