/* Double-checked initialisation that publishes the object before it is made: whoever comes without
 * the lock meanwhile sees it unmade. Correct: made, then published. (That the stores could be seen
 * in another order than they are made in, as on weaker machines, is out of a serialised run's
 * reach; on x86-64 they cannot.) */
#include "two_threads.h"

struct object {
  int value;
};

static struct object* instance;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int seen[2];

OPAQUE static void construct(struct object* object) {
  object->value = 42;
}

OPAQUE static struct object* get(void) {
  struct object* object = __atomic_load_n(&instance, __ATOMIC_ACQUIRE);
  if (object != NULL) return object;
  pthread_mutex_lock(&lock);
  object = instance;
  if (object == NULL) {
    object = calloc(1, sizeof *object);
#ifdef CORRECT
    construct(object);
    __atomic_store_n(&instance, object, __ATOMIC_RELEASE);
#else
    __atomic_store_n(&instance, object, __ATOMIC_RELEASE);
    construct(object);
#endif
  }
  pthread_mutex_unlock(&lock);
  return object;
}

static void* first(void* unused) {
  seen[0] = get()->value;
  return unused;
}

static void* second(void* unused) {
  seen[1] = get()->value;
  return unused;
}

int main(void) {
  run_both(first, second);
  printf("%d %d\n", seen[0], seen[1]);
  return 0;
}
