// One thread sleeps for very short times while the other computes: neither keeps the other waiting.
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "check.h"

static atomic_int over;
static long sleeps;

static void* sleep_often(void* unused) {
  const struct timespec shortest = {0, 1000};
  for (; !over; ++sleeps) nanosleep(&shortest, 0);
  return unused;
}

int main(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, 0, sleep_often, 0) == 0);
  volatile unsigned long state = 1;
  for (long i = 0; i < 20000000; i++) state = state * 31 + 7;
  over = 1;
  CHECK(pthread_join(thread, 0) == 0);
  CHECK(sleeps > 0);
  puts("sleeper: ok");
  return 0;
}
