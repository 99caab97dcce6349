// Built without .eh_frame: only .debug_frame describes its frames.
#include "stacks.h"

__attribute__((noinline)) static void deeper(int n, volatile int* out) {
  volatile int space[20];
  space[n] = n;
  stop_here();  // from deeper
  *out = space[n];
}

void only_debug_frame(int n) {
  volatile int result = 0;
  deeper(n, &result);  // from only_debug_frame
  sink += result;
}
