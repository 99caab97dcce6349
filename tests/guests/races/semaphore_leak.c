/* A way out of a function that forgets to give the semaphore back; it is taken only if another
 * thread said stop meanwhile. The next one to wait waits for ever. Correct: given back. */
#include <semaphore.h>

#include "two_threads.h"

static sem_t places;
static int stopping, served;

OPAQUE static int serve(void) {
  sem_wait(&places);
  if (__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
#ifdef CORRECT
    sem_post(&places);
#endif
    return 0;
  }
  ++served;
  sem_post(&places);
  return 1;
}

static void* client(void* unused) {
  serve();
  return unused;
}

static void* stop(void* unused) {
  __atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
  return unused;
}

int main(void) {
  sem_init(&places, 0, 1);
  run_both(client, stop);
  sem_wait(&places); /* for whoever is left */
  puts("stopped");
  return 0;
}
