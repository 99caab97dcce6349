/* A ring buffer of one writer and one reader. Wrong: the index is moved before the slot is filled,
 * so that the reader takes what was there before. */
#include "two_threads.h"

enum { kSlots = 4, kItems = 6 };
static int slots[kSlots];
static unsigned head, tail;
static int sum;

static void* writer(void* unused) {
  for (int i = 1; i <= kItems; ++i) {
    const unsigned at = __atomic_load_n(&head, __ATOMIC_RELAXED);
    while (at - __atomic_load_n(&tail, __ATOMIC_ACQUIRE) == kSlots) sched_yield();
#ifdef CORRECT
    slots[at % kSlots] = i;
    __atomic_store_n(&head, at + 1, __ATOMIC_RELEASE);
#else
    __atomic_store_n(&head, at + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&slots[at % kSlots], i, __ATOMIC_RELEASE);
#endif
  }
  return unused;
}

static void* reader(void* unused) {
  for (int i = 1; i <= kItems; ++i) {
    const unsigned at = __atomic_load_n(&tail, __ATOMIC_RELAXED);
    while (__atomic_load_n(&head, __ATOMIC_ACQUIRE) == at) sched_yield();
    sum += slots[at % kSlots];
    __atomic_store_n(&tail, at + 1, __ATOMIC_RELEASE);
  }
  return unused;
}

int main(void) {
  run_both(writer, reader);
  printf("%d\n", sum);
  return 0;
}
