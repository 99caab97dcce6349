/* A pool whose worker ends when it is told to stop, though a task was queued before: the task is
 * lost. Correct: the queue is emptied first. */
#include "two_threads.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int queued, stopping, done;

static void* worker(void* unused) {
  pthread_mutex_lock(&lock);
  while (1) {
    while (queued == 0 && !stopping) pthread_cond_wait(&changed, &lock);
#ifdef CORRECT
    if (queued == 0) break;
#else
    if (stopping) break;
#endif
    --queued;
    pthread_mutex_unlock(&lock);
    __atomic_add_fetch(&done, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&lock);
  }
  pthread_mutex_unlock(&lock);
  return unused;
}

static void* submitter(void* unused) {
  for (int i = 0; i < 3; ++i) {
    pthread_mutex_lock(&lock);
    ++queued;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
  }
  return unused;
}

int main(void) {
  pthread_t one, other;
  pthread_create(&one, NULL, worker, NULL);
  pthread_create(&other, NULL, submitter, NULL);
  pthread_join(other, NULL);
  /* Time enough, it seems, for the worker. */
  for (int i = 0; i < 100 && __atomic_load_n(&done, __ATOMIC_RELAXED) < 3; ++i) sched_yield();
  pthread_mutex_lock(&lock);
  stopping = 1;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
  pthread_join(one, NULL);
  printf("%d tasks done\n", done);
  return 0;
}
