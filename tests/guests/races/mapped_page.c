/* A page that is mapped by mmap and filled by read(2), both called without the C library, is read
 * by another thread that trusts a while to be enough for it. Correct: that one waits for the byte
 * that says so. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "two_threads.h"

static unsigned char* page;
static int source[2], told[2];

static void* fill(void* unused) {
  if (syscall(SYS_read, source[0], page, 64) != 64) abort();
#ifdef CORRECT
  if (syscall(SYS_write, told[1], "", 1) != 1) abort();
#endif
  return unused;
}

static void wait_for_page(void) {
#ifdef CORRECT
  char byte;
  if (syscall(SYS_read, told[0], &byte, 1) != 1) abort();
#else
  usleep(10000);
#endif
}

int main(void) {
  unsigned char bytes[64];
  for (int i = 0; i < 64; ++i) bytes[i] = (unsigned char)i;
  page = (unsigned char*)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
  if (page == MAP_FAILED || pipe(source) != 0 || pipe(told) != 0) abort();
  if (write(source[1], bytes, sizeof bytes) != sizeof bytes) abort();
  pthread_t filler;
  pthread_create(&filler, NULL, fill, NULL);
  wait_for_page();
  int sum = 0;
  for (int i = 0; i < 64; ++i) sum += page[i];
  printf("%d\n", sum);
  pthread_join(filler, NULL);
  return 0;
}
