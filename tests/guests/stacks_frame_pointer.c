// Built without any call frame information, but with frame pointers.
#include "stacks.h"

__attribute__((noinline)) static void deeper_by_pointer(int n) {
  volatile int space[20];
  space[n] = n;
  stop_here();
  sink += space[n];
}

void only_frame_pointer(int n) {
  deeper_by_pointer(n);
  sink += n;
}
