/* A condition that is set and signalled without the lock, between the waiter's look at it and its
 * wait: the waiter waits for ever. Correct: it is set with the lock held. */
#include "two_threads.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int ready;

static void* produce(void* unused) {
#ifdef CORRECT
  pthread_mutex_lock(&lock);
#endif
  __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
#ifdef CORRECT
  pthread_mutex_unlock(&lock);
#endif
  pthread_cond_signal(&changed);
  return unused;
}

static void* consume(void* unused) {
  pthread_mutex_lock(&lock);
  while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  return unused;
}

int main(void) {
  run_both(produce, consume);
  puts("consumed");
  return 0;
}
