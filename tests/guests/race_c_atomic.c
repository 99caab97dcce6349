// Two threads increment an atomic int: correct. Usage: race_c_atomic [increments per thread,
// default 50]
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

atomic_int shared;

// noipa: the loop must not become one addition.
__attribute__((noinline, noipa)) void increment(void) {
  shared++;
}

static void* worker(void* argument) {
  const int count = *(const int*)argument;
  for (int i = 0; i < count; i++) increment();
  return NULL;
}

int main(int argc, char** argv) {
  int count = argc > 1 ? atoi(argv[1]) : 50;
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, worker, &count) == 0);
  for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  printf("total %d\n", shared);
  return 0;
}
