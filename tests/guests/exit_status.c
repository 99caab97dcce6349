// Usage: exit_status [status, default 0]
#include "check.h"

int main(int argc, char** argv) {
  const int status = argc > 1 ? atoi(argv[1]) : 0;
  printf("exit_status: %d\n", status);
  return status;
}
