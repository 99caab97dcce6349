#include "descend.h"

#include <pthread.h>
#include <unistd.h>

#include "_cgo_export.h"

static volatile int sink;

// C, Go, C, Go, ... and at the end a breakpoint in C, or a system call.
void descend(int n) {
  if (n > 0)
    goDescend(n - 1);  // to Go
  else if (goAsksForOutput())
    sink = (int)write(1, "stacks_cgo: ok\n", 15);  // writes
  else
    __asm__ volatile("int3");
  sink++;
}

static void* foreign(void* argument) {
  goForeign();  // from foreign
  sink++;
  return argument;
}

// A thread that Go did not make calls Go.
void on_another_thread(void) {
  pthread_t thread;
  pthread_create(&thread, 0, foreign, 0);
  pthread_join(thread, 0);
}
