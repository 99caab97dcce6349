// Call chains for tests of the unwinder. Each ends in stop_here, a breakpoint, but the last.
// Usage: stacks calls|alloca|signal|debug_frame|frame_pointer|null
#include "stacks.h"

#include <alloca.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

volatile int sink;

__attribute__((noinline)) void stop_here(void) {
  __asm__ volatile("int3");
  sink++;
}

__attribute__((noinline)) static void innermost(int n) {
  stop_here();  // from innermost
  sink += n;
}

static inline __attribute__((always_inline)) void inlined(int n) {
  innermost(n + 1);  // from inlined
  sink += n;
}

__attribute__((noinline)) static void recursive(int n) {
  if (n == 0)
    inlined(sink);  // from recursive
  else
    recursive(n - 1);  // again
  sink += n;
}

__attribute__((noinline)) static void with_alloca(int n) {
  char* room = alloca((size_t)n * 100);
  memset(room, n, (size_t)n);
  stop_here();  // from with_alloca
  sink += room[n / 2];
}

static void handler(int number) {
  stop_here();  // from handler
  sink += number;
}

__attribute__((noinline)) static void faulting(void) {
  sink = 1;
  __asm__ volatile("ud2");  // fault
  sink = 2;
}

__attribute__((noinline)) static void call(void (*function)(void)) {
  function();  // indirect
  sink++;
}

int main(int argc, char** argv) {
  const char* scenario = argc > 1 ? argv[1] : "";
  if (strcmp(scenario, "calls") == 0) {
    recursive(3);  // from main
  } else if (strcmp(scenario, "alloca") == 0) {
    with_alloca(argc + 8);
  } else if (strcmp(scenario, "signal") == 0) {
    static char stack[1 << 16];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGILL, &action, NULL);
    faulting();
  } else if (strcmp(scenario, "debug_frame") == 0) {
    only_debug_frame(argc);
  } else if (strcmp(scenario, "frame_pointer") == 0) {
    only_frame_pointer(argc);
  } else if (strcmp(scenario, "null") == 0) {
    call(NULL);
  } else {
    puts("stacks: which scenario?");
    return 2;
  }
  return 0;
}
