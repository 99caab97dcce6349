/* What the programs here have in common: two threads, and a function that no compiler looks into.
 */
#ifndef HEDDLE_TESTS_GUESTS_RACES_TWO_THREADS_H
#define HEDDLE_TESTS_GUESTS_RACES_TWO_THREADS_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define OPAQUE __attribute__((noipa))

static void run_both(void* (*one)(void*), void* (*other)(void*)) {
  pthread_t threads[2];
  if (pthread_create(&threads[0], NULL, one, NULL) != 0 ||
      pthread_create(&threads[1], NULL, other, NULL) != 0)
    abort();
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
}

#endif
