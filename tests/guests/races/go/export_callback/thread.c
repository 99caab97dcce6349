#include "thread.h"

#include "_cgo_export.h"

static pthread_t thread;

static void* run(void* unused) {
  for (int i = 0; i < 3; ++i) add(1);
  return unused;
}

void start(void) {
  pthread_create(&thread, NULL, run, NULL);
}

void finish(void) {
  pthread_join(thread, NULL);
}
