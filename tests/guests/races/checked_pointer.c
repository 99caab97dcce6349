/* A buffer that is checked, and passed on to a function that does not check it, while another
 * thread clears it: a null dereference. Correct: both hold a lock. */
#include <string.h>

#include "two_threads.h"

static char* buffer;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char copy[16];

OPAQUE static void pass_on(void) {
  strcpy(copy, buffer);
}

static void* use(void* unused) {
#ifdef CORRECT
  pthread_mutex_lock(&lock);
#endif
  if (buffer != NULL) pass_on();
#ifdef CORRECT
  pthread_mutex_unlock(&lock);
#endif
  return unused;
}

static void* clear(void* unused) {
  pthread_mutex_lock(&lock);
  char* old = buffer;
  buffer = NULL;
  pthread_mutex_unlock(&lock);
  free(old);
  return unused;
}

int main(void) {
  buffer = strdup("contents");
  run_both(use, clear);
  puts("done");
  return 0;
}
