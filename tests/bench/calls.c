// A recursive function that does little but call itself. Usage: calls [n, default 42]
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static uint64_t fibonacci(unsigned n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

int main(int argc, char** argv) {
  printf("%llu\n", (unsigned long long)fibonacci(argc > 1 ? (unsigned)atoi(argv[1]) : 42));
  return 0;
}
