// One thread after another uses the same part of the heap and leaves blocks in it for the C library
// to collect: a thread that ends frees what it has kept for itself, which another one freed before.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { kMostBlocks = 5, kSize = 40, kGrowths = 5 };

// Frees `blocks` blocks, which go to the next thread's part of the heap when this one ends. That
// takes one of them, and the C library keeps the others for it.
static void* uses(void* blocks) {
  const int count = *(const int*)blocks;
  char* taken[kMostBlocks];
  for (int i = 0; i < count; ++i) {
    CHECK(taken[i] = malloc(kSize));
    memset(taken[i], i, kSize);
  }
  char* behind[kGrowths];  // a block that has one behind it moves to grow
  char* grows = malloc(24);
  for (int i = 0; i < kGrowths; ++i) {
    CHECK(behind[i] = malloc(24));
    CHECK(grows = realloc(grows, 48u << i));
    memset(grows, i, 48u << i);
  }
  free(grows);
  for (int i = 0; i < kGrowths; ++i) free(behind[i]);
  for (int i = 0; i < count; ++i) free(taken[i]);
  return NULL;
}

int main(void) {
  int counts[] = {kMostBlocks, 1, 1};
  for (int i = 0; i < 3; ++i) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, uses, &counts[i]) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
  }
  printf("thread_heaps: ok\n");
  return 0;
}
