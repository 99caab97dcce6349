// clock_loop [N [spin]]: reads the clock N times (1,000,000 if not told), as a busy server does;
// with `spin` it computes for ever after that.
#include <stdlib.h>
#include <time.h>

#include "check.h"

int main(int argc, char** argv) {
  const long n = argc > 1 ? atol(argv[1]) : 1000000;
  struct timespec last, now;
  CHECK(clock_gettime(CLOCK_MONOTONIC, &last) == 0);
  for (long i = 1; i < n; i++) {
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    CHECK(now.tv_sec > last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec));
    last = now;
  }
  if (argc > 2) {
    for (volatile long spins = 0;; spins++) {
    }
  }
  puts("clock_loop: ok");
  return 0;
}
