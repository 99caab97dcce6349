/* plain_memory [ROUNDS]: maps, protects, moves and unmaps memory without files in two threads, with
 * a timer's handler that does so too, moves the program break, and makes code of such memory and
 * memory of such code again. Prints what was found there. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

enum { kPage = 4096, kBlocks = 24 };

static volatile sig_atomic_t handled;
static int rounds = 300;

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static unsigned char* map(size_t size, int prot) {
  void* at = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) fail("mmap");
  return at;
}

static void on_timer(int signal) {
  (void)signal;
  unsigned char* block = map(3 * kPage, PROT_READ | PROT_WRITE);
  block[kPage] = 1;
  if (munmap(block + kPage, kPage) != 0 || munmap(block, 3 * kPage) != 0) fail("munmap");
  ++handled;
}

struct block {
  unsigned char* at;
  size_t pages;
  unsigned char mark;
};

static void drop(struct block* b) {
  if (b->at && munmap(b->at, b->pages * kPage) != 0) fail("munmap");
  b->at = NULL;
}

/* Every page of a block begins with its mark, or with 0 where it was given back. */
static uint64_t look(const struct block* b) {
  uint64_t sum = 0;
  for (size_t page = 0; b->at && page < b->pages; ++page) {
    const unsigned char found = b->at[page * kPage];
    if (found != b->mark && found != 0) fail("another block's memory");
    sum = sum * 31 + found;
  }
  return sum;
}

static void* work(void* argument) {
  uint64_t state = (uint64_t)(uintptr_t)argument, sum = 0;
  struct block blocks[kBlocks] = {{0}};
  for (int i = 0; i < rounds; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const unsigned pick = (unsigned)(state >> 33);
    struct block* b = &blocks[pick % kBlocks];
    if (!b->at) {
      b->pages = 1 + pick / 64 % 16;
      b->mark = (unsigned char)(1 + pick / 1024 % 255);
      b->at = map(b->pages * kPage, PROT_READ | PROT_WRITE);
      for (size_t page = 0; page < b->pages; ++page) b->at[page * kPage] = b->mark;
      continue;
    }
    sum = sum * 31 + look(b);
    const size_t half = b->pages / 2 * kPage;
    switch (pick / 64 % 6) {
      case 0:
        drop(b);
        break;
      case 1: /* the end goes, then all */
        if (half != 0 && munmap(b->at + half, b->pages * kPage - half) != 0) fail("munmap");
        if (half != 0) b->pages /= 2;
        break;
      case 2: {
        const size_t pages = 1 + pick / 4096 % 20;
        unsigned char* to = mremap(b->at, b->pages * kPage, pages * kPage, MREMAP_MAYMOVE);
        if (to == MAP_FAILED) break; /* the kernel may have it in parts */
        for (size_t page = b->pages; page < pages; ++page) to[page * kPage] = b->mark;
        b->at = to;
        b->pages = pages;
        break;
      }
      case 3:
        if (madvise(b->at, half ? half : kPage, pick & 1 ? MADV_DONTNEED : MADV_FREE) != 0)
          fail("madvise");
        break;
      case 4:
        if (mprotect(b->at, kPage, PROT_READ) != 0) fail("mprotect");
        sum += b->at[0];
        if (mprotect(b->at, kPage, PROT_READ | PROT_WRITE) != 0) fail("mprotect");
        break;
      default: /* in its place */
        if (mmap(b->at, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0) != b->at)
          fail("mmap");
        break;
    }
  }
  for (int i = 0; i < kBlocks; ++i) drop(&blocks[i]);
  return (void*)(uintptr_t)sum;
}

/* Code that returns `value`, in memory that was written first and executable then, or both. */
static unsigned run(unsigned value, int at_once) {
  const int both = PROT_READ | PROT_WRITE | (at_once ? PROT_EXEC : 0);
  unsigned char* code = map(2 * kPage, both);
  code[0] = 0xb8; /* mov $value, %eax; ret */
  memcpy(code + 1, &value, sizeof value);
  code[5] = 0xc3;
  if (!at_once && mprotect(code, kPage, PROT_READ | PROT_EXEC) != 0) fail("mprotect");
  unsigned (*function)(void);
  memcpy(&function, &code, sizeof function);
  const unsigned got = function();
  if (munmap(code, 2 * kPage) != 0) fail("munmap");
  return got;
}

int main(int argc, char** argv) {
  if (argc > 1) rounds = atoi(argv[1]);
  signal(SIGALRM, on_timer);
  const struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, (void*)7) != 0) return 1;
  uint64_t sum = (uint64_t)(uintptr_t)work((void*)3);
  void* other;
  pthread_join(thread, &other);
  for (unsigned i = 0; i < 60; ++i)
    if (run(i, i % 3 == 0) != i) return 2;
  char* top = sbrk(0);
  for (int i = 1; i <= 40; ++i) {
    char* at = sbrk(i * 1000);
    if (at == (char*)-1) fail("sbrk");
    memset(at, i, (size_t)i * 1000);
    sum += (uint64_t)at[999];
    if (i % 4 == 0 && sbrk(-i * 500) == (char*)-1) fail("sbrk");
  }
  if (sbrk(0) <= (void*)top) return 3;
  setitimer(ITIMER_REAL, &never, NULL);
  printf("%llx %llx, %d signals\n", (unsigned long long)sum, (unsigned long long)(uintptr_t)other,
         (int)handled);
  return 0;
}
