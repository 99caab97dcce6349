#include "counter.h"

static int shared;

void increment(void) {
  shared++;
}

int total(void) {
  return shared;
}
