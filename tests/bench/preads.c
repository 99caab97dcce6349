/* preads FILE [CALLS]: small reads at scattered places of a file, 200,000 by default. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const int file = argc > 1 ? open(argv[1], O_RDONLY) : -1;
  if (file < 0) return 2;
  const long calls = argc > 2 ? atol(argv[2]) : 200000;
  unsigned long sum = 0;
  for (long i = 0; i < calls; ++i) {
    unsigned char bytes[64];
    if (pread(file, bytes, sizeof bytes, i * 64 % 4096) != sizeof bytes) return 1;
    sum = sum * 31 + bytes[0] + bytes[63];
  }
  printf("%ld preads, %lx\n", calls, sum);
  return 0;
}
