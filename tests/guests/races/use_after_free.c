/* A session that one thread frees while another one still reads it. Correct: counted references. */
#include <string.h>

#include "two_threads.h"

struct session {
  int references;
  char name[28];
};

static struct session* session;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char name[28];

OPAQUE static void release(struct session* s) {
#ifdef CORRECT
  if (__atomic_sub_fetch(&s->references, 1, __ATOMIC_ACQ_REL) > 0) return;
#endif
  memset(s, 0, sizeof *s);
  free(s);
}

OPAQUE static void show(const struct session* s) {
  strcpy(name, s->name);
}

static void* reader(void* unused) {
  pthread_mutex_lock(&lock);
  struct session* s = session;
#ifdef CORRECT
  if (s) __atomic_add_fetch(&s->references, 1, __ATOMIC_RELAXED);
#endif
  pthread_mutex_unlock(&lock);
  if (s == NULL) {
    strcpy(name, "visitor");
    return unused;
  }
  show(s);
#ifdef CORRECT
  release(s);
#endif
  return unused;
}

static void* closer(void* unused) {
  pthread_mutex_lock(&lock);
  struct session* s = session;
  session = NULL;
  pthread_mutex_unlock(&lock);
  release(s);
  return unused;
}

int main(void) {
  session = malloc(sizeof *session);
  session->references = 1;
  strcpy(session->name, "visitor");
  run_both(reader, closer);
  puts(name);
  return 0;
}
