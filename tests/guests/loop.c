// Computes without a system call: conditional branches, calls and returns, an indirect call and a
// jump table, 64-bit multiplication and division. Usage: loop [rounds, default 100000]
#include <stdint.h>

#include "check.h"

typedef uint64_t (*Step)(uint64_t);

__attribute__((noipa)) static uint64_t multiply(uint64_t x) {
  return x * 6364136223846793005u + 1442695040888963407u;
}
__attribute__((noipa)) static uint64_t shift(uint64_t x) {
  return x ^ (x >> 29);
}
__attribute__((noipa)) static uint64_t divide(uint64_t x) {
  return x / ((x & 255) + 3) + x % 7;
}

__attribute__((noipa)) static uint64_t fibonacci(uint64_t n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__attribute__((noipa)) static uint64_t pick(uint64_t x) {
  switch (x & 7) {
    case 0:
      return x + 11;
    case 1:
      return x - 5;
    case 2:
      return x << 3;
    case 3:
      return x >> 2;
    case 4:
      return ~x;
    case 5:
      return x * 9;
    case 6:
      return x ^ 0x5555;
    default:
      return (x << 7) | (x >> 57);
  }
}

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? atol(argv[1]) : 100000;
  const Step steps[] = {multiply, shift, divide};
  uint64_t x = 1;
  for (long i = 0; i < rounds; i++) x = pick(steps[x % 3](multiply(x)));
  CHECK(fibonacci(18) == 2584);
  printf("loop: ok %016llx\n", (unsigned long long)x);
  return 0;
}
