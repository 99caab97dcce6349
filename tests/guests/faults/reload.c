/* A daemon that reads its settings again on SIGHUP, which the recorded run does not get: the
 * handler changes two words of which the main program reads one after the other. Careful: the
 * handler only says that there is something to do. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile int width = 3, height = 4;
static volatile sig_atomic_t asked;

static void load(void) {
  width = 30;
  height = 40;
}

static void on_hangup(int number) {
  (void)number;
#ifdef CORRECT
  asked = 1;
#else
  load();
#endif
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_hangup;
  action.sa_flags = SA_RESTART;
  sigaction(SIGHUP, &action, NULL);
  int mixed = 0;
  for (int i = 0; i < 3; ++i) {
    if (asked) {
      asked = 0;
      load();
    }
    const int w = width, h = height;
    mixed += w * 4 != h * 3;
  }
  printf("%d mixed\n", mixed);
  return 0;
}
