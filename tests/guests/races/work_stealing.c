/* A deque whose owner takes from one end and whose thief steals from the other. With one item left
 * both get it, unless who takes it is decided by a compare-and-swap. */
#include "two_threads.h"

static long top, bottom;
static int items[4];
static int done[4];

OPAQUE static int take(void) {
  const long b = __atomic_load_n(&bottom, __ATOMIC_RELAXED) - 1;
  __atomic_store_n(&bottom, b, __ATOMIC_SEQ_CST);
  long t = __atomic_load_n(&top, __ATOMIC_SEQ_CST);
  if (t > b) {
    __atomic_store_n(&bottom, b + 1, __ATOMIC_RELAXED);
    return -1;
  }
  const int item = items[b];
  if (t < b) return item;
  int won = 1;
#ifdef CORRECT
  won = __atomic_compare_exchange_n(&top, &t, t + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
#else
  __atomic_store_n(&top, t + 1, __ATOMIC_RELEASE);
#endif
  __atomic_store_n(&bottom, b + 1, __ATOMIC_RELAXED);
  return won ? item : -1;
}

OPAQUE static int steal(void) {
  long t = __atomic_load_n(&top, __ATOMIC_SEQ_CST);
  const long b = __atomic_load_n(&bottom, __ATOMIC_SEQ_CST);
  if (t >= b) return -1;
  const int item = items[t];
#ifdef CORRECT
  if (!__atomic_compare_exchange_n(&top, &t, t + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
    return -1;
#else
  __atomic_store_n(&top, t + 1, __ATOMIC_RELEASE);
#endif
  return item;
}

static void* owner(void* unused) {
  for (int item; (item = take()) >= 0;) __atomic_add_fetch(&done[item], 1, __ATOMIC_RELAXED);
  return unused;
}

static void* thief(void* unused) {
  for (int item; (item = steal()) >= 0;) __atomic_add_fetch(&done[item], 1, __ATOMIC_RELAXED);
  return unused;
}

int main(void) {
  for (int i = 0; i < 4; ++i) items[bottom++] = i;
  run_both(owner, thief);
  int wrong = 0;
  for (int i = 0; i < 4; ++i) wrong += done[i] != 1;
  printf("%d done more or less than once\n", wrong);
  return 0;
}
