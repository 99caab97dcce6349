/* A wait for a condition that is not looked at again: broadcast wakes two consumers for one item.
 * Correct: a loop. */
#include "two_threads.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int items, least;

static void* consume(void* unused) {
  pthread_mutex_lock(&lock);
#ifdef CORRECT
  while (items == 0) pthread_cond_wait(&changed, &lock);
#else
  if (items == 0) pthread_cond_wait(&changed, &lock);
#endif
  --items;
  if (items < least) least = items;
  pthread_mutex_unlock(&lock);
  return unused;
}

static void produce(void) {
  pthread_mutex_lock(&lock);
  ++items;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

int main(void) {
  pthread_t one, other;
  pthread_create(&one, NULL, consume, NULL);
  pthread_create(&other, NULL, consume, NULL);
  produce();
  produce();
  pthread_join(one, NULL);
  pthread_join(other, NULL);
  printf("never fewer than %d items\n", least);
  return 0;
}
