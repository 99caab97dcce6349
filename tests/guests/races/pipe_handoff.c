/* A value that is handed over through memory, with a byte in a pipe that says it is there. Wrong:
 * the byte is sent first. */
#include <poll.h>
#include <unistd.h>

#include "two_threads.h"

static int ends[2];
static int value, got;

OPAQUE static void tell(void) {
  if (write(ends[1], "", 1) != 1) abort();
}

static void* giver(void* unused) {
#ifdef CORRECT
  value = 42;
  tell();
#else
  tell();
  value = 42;
#endif
  return unused;
}

static void* taker(void* unused) {
  for (volatile int i = 0; i < 100000; ++i) { /* has other things to do first */
  }
  struct pollfd wanted = {ends[0], POLLIN, 0};
  if (poll(&wanted, 1, -1) != 1) abort();
  char byte;
  if (read(ends[0], &byte, 1) != 1) abort();
  got = value;
  return unused;
}

int main(void) {
  if (pipe(ends) != 0) abort();
  run_both(giver, taker);
  printf("%d\n", got);
  return 0;
}
