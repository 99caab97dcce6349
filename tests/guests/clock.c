// What differs from run to run: clocks, the time-stamp counter, cpuid, random bytes, AT_RANDOM,
// addresses and ids. `clock values` prints them, so that a replay can be compared to the recording.
#define _GNU_SOURCE
#include <cpuid.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "check.h"

static int64_t nanoseconds(clockid_t clock) {
  struct timespec t;
  CHECK(clock_gettime(clock, &t) == 0);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char** argv) {
  int64_t last = nanoseconds(CLOCK_MONOTONIC);
  for (int i = 0; i < 100; i++) {
    const int64_t now = nanoseconds(CLOCK_MONOTONIC);
    CHECK(now >= last);
    last = now;
  }
  const uint64_t tsc = __rdtsc();
  unsigned aux = 0;
  CHECK(__rdtscp(&aux) > tsc);
  unsigned a, b, c, d;
  CHECK(__get_cpuid(0, &a, &b, &c, &d) && a >= 1);
  const int64_t real = nanoseconds(CLOCK_REALTIME);
  const time_t seconds = time(NULL);
  CHECK(seconds >= real / 1000000000 - 1 && seconds > 1600000000);
  struct timeval day;
  CHECK(gettimeofday(&day, NULL) == 0 && day.tv_sec >= seconds - 1);
  uint64_t random[2];
  CHECK(getrandom(random, sizeof random, 0) == sizeof random && random[0] != random[1]);
  const struct timespec pause = {0, 1000000};
  const int64_t before = nanoseconds(CLOCK_MONOTONIC);
  CHECK(nanosleep(&pause, NULL) == 0);
  CHECK(nanoseconds(CLOCK_MONOTONIC) - before >= 1000000);
  if (argc > 1 && strcmp(argv[1], "values") == 0) {
    const uint64_t* at_random = (const uint64_t*)getauxval(AT_RANDOM);
    printf("%lld %llu %08x%08x%08x %lld %lld.%06ld %016llx%016llx %016llx %d %p\n", (long long)last,
           (unsigned long long)tsc, b, d, c, (long long)real, (long long)day.tv_sec,
           (long)day.tv_usec, (unsigned long long)random[0], (unsigned long long)random[1],
           (unsigned long long)at_random[0], (int)getpid(), (void*)&last);
  } else {
    puts("clock: ok");
  }
  return 0;
}
