// Loops that differ in how much a turn does. Usage: loops nest|cycle [rounds]
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kSize = 256 };
static uint32_t a[kSize][kSize], b[kSize][kSize], c[kSize][kSize];

__attribute__((noinline)) static void nest(void) {
  for (int i = 0; i < kSize; i++)
    for (int j = 0; j < kSize; j++) {
      uint32_t sum = 0;
      for (int k = 0; k < kSize; k++) sum += a[i][k] * b[k][j];
      c[i][j] = sum;
    }
}

// One cycle per turn: the compiler may neither unroll nor vectorise it.
__attribute__((noinline)) static uint64_t cycle(uint64_t n) {
  uint64_t x = 0;
  do {
    x += n;
    __asm__ volatile("" : "+r"(x));
  } while (--n);
  return x;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const long rounds = argc > 2 ? atol(argv[2]) : 0;
  if (strcmp(argv[1], "nest") == 0) {
    for (int i = 0; i < kSize; i++)
      for (int j = 0; j < kSize; j++) a[i][j] = (uint32_t)(i * j), b[i][j] = (uint32_t)(i + j);
    for (long i = 0; i < (rounds ? rounds : 40); i++) nest();
    printf("%u\n", c[17][42]);
  } else {
    printf("%llu\n", (unsigned long long)cycle(rounds ? (uint64_t)rounds : 2000000000));
  }
  return 0;
}
