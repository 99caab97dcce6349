/* A reader-writer lock is given up as a reader's and taken as a writer's, and what was seen before
 * is believed: two threads insert the same key. Correct: it is looked at again. */
#include "two_threads.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static int keys[8], count;

OPAQUE static int find(int key) {
  for (int i = 0; i < count; ++i)
    if (keys[i] == key) return i;
  return -1;
}

static void* insert_once(void* unused) {
  pthread_rwlock_rdlock(&lock);
  const int found = find(7);
  pthread_rwlock_unlock(&lock);
  if (found >= 0) return unused;
  pthread_rwlock_wrlock(&lock);
#ifdef CORRECT
  if (find(7) < 0)
#endif
    keys[count++] = 7;
  pthread_rwlock_unlock(&lock);
  return unused;
}

int main(void) {
  run_both(insert_once, insert_once);
  printf("%d key\n", count);
  return 0;
}
