// Dies of a signal. Usage: abort [signal number, default 6 | fault]
// `fault` is a real store to address zero.
#include <signal.h>
#include <sys/resource.h>

#include "check.h"

int main(int argc, char** argv) {
  const struct rlimit none = {0, 0};
  CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
  printf("abort: dying\n");
  fflush(stdout);
  if (argc > 1 && strcmp(argv[1], "fault") == 0) {
    int* volatile nowhere = NULL;
    *(volatile int*)nowhere = 1;
  }
  const int number = argc > 1 ? atoi(argv[1]) : SIGABRT;
  CHECK(signal(number, SIG_DFL) != SIG_ERR || number == SIGKILL);
  raise(number);
  return 1;
}
