/* mutex [TURNS]: four threads take turns under one mutex, TURNS each, with a little work inside and
 * a little outside. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long state = 1;
static long turns = 4000000;

static unsigned long mix(unsigned long x, int rounds) {
  for (int i = 0; i < rounds; ++i) x = x * 6364136223846793005ul + 1442695040888963407ul;
  return x;
}

static void* work(void* seed) {
  unsigned long own = (unsigned long)seed;
  for (long i = 0; i < turns; ++i) {
    pthread_mutex_lock(&lock);
    state = mix(state, 20);
    pthread_mutex_unlock(&lock);
    own = mix(own, 20);
  }
  return (void*)own;
}

int main(int argc, char** argv) {
  if (argc > 1) turns = atol(argv[1]);
  pthread_t threads[4];
  unsigned long own = 0;
  for (unsigned long i = 0; i < 4; ++i) pthread_create(&threads[i], 0, work, (void*)(i + 1));
  for (int i = 0; i < 4; ++i) {
    void* result;
    pthread_join(threads[i], &result);
    own ^= (unsigned long)result;
  }
  printf("%lx %lx\n", state, own);
  return 0;
}
