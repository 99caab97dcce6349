// A thread that reads the clock until another one is done, which reads it 20,000 times.
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "check.h"

static atomic_int done;

static void read_clock(void) {
  struct timespec now;
  CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
}

static void* work(void* argument) {
  for (int i = 0; i < 20000; i++) read_clock();
  atomic_store(&done, 1);
  return argument;
}

int main(void) {
  pthread_t worker;
  CHECK(pthread_create(&worker, NULL, work, NULL) == 0);
  while (!atomic_load(&done)) read_clock();
  CHECK(pthread_join(worker, NULL) == 0);
  puts("clock_poll: ok");
  return 0;
}
