// queued_signals FILE N: writes its pid to FILE and reads the clock until N queued signals from
// outside have been handled, each once.
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t handled;

static void handle(int signal) {
  (void)signal;
  handled++;
}

int main(int argc, char** argv) {
  CHECK(argc == 3);
  const int expected = atoi(argv[2]);
  struct sigaction action = {.sa_handler = handle};
  CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
  FILE* file = fopen(argv[1], "w");
  CHECK(file != NULL && fprintf(file, "%d\n", (int)getpid()) > 0 && fclose(file) == 0);
  struct timespec now;
  while (handled < expected) CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
  for (int i = 0; i < 1000; i++) CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
  CHECK(handled == expected);
  puts("queued_signals: ok");
  return 0;
}
