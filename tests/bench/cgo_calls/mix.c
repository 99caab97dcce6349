#include <stdint.h>

void note(uint64_t value);

uint64_t mix(uint64_t value, int rounds) {
  for (int i = 0; i < rounds; ++i) value = value * 6364136223846793005u + 1442695040888963407u;
  if (value % 1024 == 0) note(value);
  return value;
}
