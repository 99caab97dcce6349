// Producers and consumers over a bounded queue (mutex and two condition variables), a barrier,
// thread-local storage, a read-write lock, a semaphore, and results through pthread_join.
#include <pthread.h>
#include <semaphore.h>

#include "check.h"

enum { kProducers = 4, kConsumers = 4, kItems = 50, kCapacity = 8 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;
static int queue[kCapacity];
static int queued, produced, consumed;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static int generation;
static __thread long mine;

static void* produce(void* argument) {
  const int first = (int)(long)argument * kItems;
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kItems; i++) {
    pthread_mutex_lock(&mutex);
    while (queued == kCapacity) pthread_cond_wait(&not_full, &mutex);
    queue[queued++] = first + i;
    if (++produced == kProducers * kItems) {
      pthread_cond_broadcast(&not_empty);
    } else {
      pthread_cond_signal(&not_empty);
    }
    pthread_mutex_unlock(&mutex);
  }
  pthread_rwlock_wrlock(&rwlock);
  generation++;
  pthread_rwlock_unlock(&rwlock);
  CHECK(sem_post(&semaphore) == 0);
  return NULL;
}

static void* consume(void* argument) {
  (void)argument;
  pthread_barrier_wait(&barrier);
  for (;;) {
    pthread_mutex_lock(&mutex);
    while (queued == 0 && produced < kProducers * kItems) pthread_cond_wait(&not_empty, &mutex);
    if (queued == 0) {
      pthread_mutex_unlock(&mutex);
      break;
    }
    mine += queue[--queued];
    consumed++;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&mutex);
    pthread_rwlock_rdlock(&rwlock);
    CHECK(generation >= 0 && generation <= kProducers);
    pthread_rwlock_unlock(&rwlock);
  }
  return (void*)mine;
}

static void* detached(void* argument) {
  CHECK(sem_post((sem_t*)argument) == 0);
  return NULL;
}

int main(void) {
  pthread_t producers[kProducers], consumers[kConsumers], other;
  CHECK(pthread_barrier_init(&barrier, NULL, kProducers + kConsumers) == 0);
  CHECK(sem_init(&semaphore, 0, 0) == 0);
  for (long i = 0; i < kProducers; i++) {
    CHECK(pthread_create(&producers[i], NULL, produce, (void*)i) == 0);
  }
  for (int i = 0; i < kConsumers; i++) {
    CHECK(pthread_create(&consumers[i], NULL, consume, NULL) == 0);
  }
  for (int i = 0; i < kProducers; i++) CHECK(sem_wait(&semaphore) == 0);
  for (int i = 0; i < kProducers; i++) CHECK(pthread_join(producers[i], NULL) == 0);
  long sum = 0;
  for (int i = 0; i < kConsumers; i++) {
    void* result;
    CHECK(pthread_join(consumers[i], &result) == 0);
    sum += (long)result;
  }
  const long items = kProducers * kItems;
  CHECK(consumed == items && generation == kProducers && mine == 0);
  CHECK(sum == items * (items - 1) / 2);
  CHECK(pthread_create(&other, NULL, detached, &semaphore) == 0);
  CHECK(pthread_detach(other) == 0);
  CHECK(sem_wait(&semaphore) == 0);
  printf("threads: ok %ld\n", sum);
  return 0;
}
