/* oracles HOW: two threads in a race that goes wrong in the way that is named. By itself, and as it
 * is recorded, nothing goes wrong. */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char* how;
static volatile int counter;
static volatile int wants[2];
static char* volatile block;
static int* volatile nowhere;
static pthread_mutex_t locks[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

static int is(const char* name) {
  return strcmp(how, name) == 0;
}

/* Each lets the other one go first: for ever, if both began before either looked. */
static void be_polite(int me) {
  wants[me] = 1;
  while (wants[!me]) {
    wants[me] = 0;
    wants[me] = 1;
    sched_yield();
  }
  wants[me] = 0;
}

static void* run(void* number) {
  const int me = number != NULL;
  if (is("livelock")) {
    be_polite(me);
  } else if (is("deadlock")) {
    pthread_mutex_lock(&locks[me]);
    pthread_mutex_lock(&locks[!me]);
    pthread_mutex_unlock(&locks[!me]);
    pthread_mutex_unlock(&locks[me]);
  } else if (is("use after free")) {
    if (me)
      free(block);
    else
      block[0] = 1;
  } else {
    counter = counter + 1;
  }
  return NULL;
}

int main(int argc, char** argv) {
  how = argc > 1 ? argv[1] : "";
  block = malloc(100);
  pthread_t threads[2];
  pthread_create(&threads[0], NULL, run, NULL);
  pthread_create(&threads[1], NULL, run, &how);
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  const int lost = !is("livelock") && !is("deadlock") && !is("use after free") && counter != 2;
  if (is("assertion")) assert(counter == 2);
  if (is("signal") && lost) *nowhere = 1;
  if (is("status") && lost) return 3;
  if ((is("panic: ") || is("fatal error: ")) && lost) {
    fprintf(stderr, "goroutine 1\n%scounter is wrong\n", how); /* as a Go program does */
    return 2;
  }
  if (is("hang") && lost)
    while (block) {
    }
  if (is("output")) printf("at 0x%p: counter %d\n", (void*)&counter, counter);
  puts("ended");
  return 0;
}
