/* epoll_wait's event array is used by another thread while the call is in flight: what the kernel
 * writes replaces what that thread had put there. Correct: an array of one's own. */
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "two_threads.h"

static struct epoll_event shared[2];
static int poller, counter;
static unsigned long long got, scratch;

static void* waiter(void* unused) {
#ifdef CORRECT
  struct epoll_event events[2];
#else
  struct epoll_event* events = shared;
#endif
  if (epoll_wait(poller, events, 2, -1) != 1) abort();
  got = events[0].data.u64;
  return unused;
}

static void* writer(void* unused) {
  shared[0].data.u64 = 5;
  const unsigned long long one = 1;
  if (write(counter, &one, sizeof one) != sizeof one) abort();
  scratch = shared[0].data.u64;
  return unused;
}

int main(void) {
  poller = epoll_create1(0);
  counter = eventfd(0, 0);
  struct epoll_event interest;
  memset(&interest, 0, sizeof interest);
  interest.events = EPOLLIN;
  interest.data.u64 = 7;
  if (epoll_ctl(poller, EPOLL_CTL_ADD, counter, &interest) != 0) abort();
  run_both(waiter, writer);
  printf("waiter %llu writer %llu\n", got, scratch);
  return 0;
}
