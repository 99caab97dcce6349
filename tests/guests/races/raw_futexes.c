/* An event on which two threads wait, made of futexes alone: who sets it wakes one and moves the
 * other to the lock's word (FUTEX_CMP_REQUEUE), and wakes by FUTEX_WAKE_OP when it unlocks. Wrong:
 * the moved ones are not woken when the lock is given up. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "two_threads.h"

static int event_word, lock_word, unlocked;
static int passed;

static long futex(int* word, int operation, int value, unsigned long value2, int* word2,
                  int value3) {
  return syscall(SYS_futex, word, operation, value, value2, word2, value3);
}

static void* waiter(void* unused) {
  while (__atomic_load_n(&event_word, __ATOMIC_ACQUIRE) == 0)
    futex(&event_word, FUTEX_WAIT, 0, 0, NULL, 0);
  __atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED);
  return unused;
}

int main(void) {
  pthread_t threads[2];
  for (int i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, waiter, NULL);
  __atomic_store_n(&lock_word, 1, __ATOMIC_RELAXED);
  __atomic_store_n(&event_word, 1, __ATOMIC_RELEASE);
  futex(&event_word, FUTEX_CMP_REQUEUE, 1, 100, &lock_word, 1);
#ifdef CORRECT
  /* lock_word = 0; wake who was moved there. */
  futex(&unlocked, FUTEX_WAKE_OP, 1, 100, &lock_word,
        FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 1));
#else
  __atomic_store_n(&lock_word, 0, __ATOMIC_RELEASE);
#endif
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  printf("%d passed\n", passed);
  return 0;
}
