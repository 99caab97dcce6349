// Four threads as programs have them: most of what each does is its own, some is read by all, and
// now and then they meet at a lock. workers [TURNS [THREADS]]
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kWords = 1 << 15, kTable = 1 << 12, kMostThreads = 64, kBuckets = 256 };

static uint32_t table[kTable];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t buckets[kBuckets];
static atomic_int next_turn;
static int turns = 400;

static int by_value(const void* a, const void* b) {
  const uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return (x > y) - (x < y);
}

static uint64_t work(uint32_t* words, int turn) {
  uint32_t state = 2463534242u + (uint32_t)turn;
  for (int i = 0; i < kWords; ++i) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    words[i] = state ^ table[state % kTable];
  }
  qsort(words, kWords / 16, sizeof *words, by_value);
  uint64_t sum = 0;
  for (int i = 0; i < kWords; ++i) sum = sum * 31 + table[words[i] % kTable];
  return sum;
}

static void* run(void* unused) {
  (void)unused;
  uint32_t* words = malloc(kWords * sizeof *words);
  while (1) {
    const int turn = atomic_fetch_add(&next_turn, 1);
    if (turn >= turns) break;
    const uint64_t sum = work(words, turn);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < 16; ++i) buckets[(sum >> (i * 4)) % kBuckets] += sum;
    pthread_mutex_unlock(&lock);
  }
  free(words);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc > 1) turns = atoi(argv[1]);
  int threads = argc > 2 ? atoi(argv[2]) : 4;
  if (threads < 1 || threads > kMostThreads) return 2;
  for (int i = 0; i < kTable; ++i) table[i] = (uint32_t)i * 2654435761u;
  pthread_t ids[kMostThreads];
  for (int i = 0; i < threads; ++i) pthread_create(&ids[i], NULL, run, NULL);
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  uint64_t all = 0;
  for (int i = 0; i < kBuckets; ++i) all ^= buckets[i] * (uint64_t)(i + 1);
  printf("%016llx\n", (unsigned long long)all);
  return 0;
}
