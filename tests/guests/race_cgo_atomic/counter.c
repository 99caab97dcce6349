#include "counter.h"

static int shared;

void increment(void) {
  __atomic_fetch_add(&shared, 1, __ATOMIC_SEQ_CST);
}

int total(void) {
  return shared;
}
