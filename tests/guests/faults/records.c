/* Records that go through a pipe. Wrong: a read that returns fewer bytes than a record has, or ends
 * with EINTR, is taken for a whole one. Correct: what is missing is read again. Threads that cannot
 * be made at once are made later. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kRecords = 3, kSize = 12 };
static int ends[2];

static void on_signal(int number) {
  (void)number;
}

static void read_record(char* record) {
#ifdef CORRECT
  for (size_t got = 0; got < kSize;) {
    const ssize_t more = read(ends[0], record + got, kSize - got);
    if (more > 0) got += (size_t)more;
    if (more < 0 && errno != EINTR) abort();
  }
#else
  if (read(ends[0], record, kSize) == 0) abort();
#endif
}

static void* writer(void* unused) {
  for (int i = 0; i < kRecords; ++i) {
    char record[kSize + 1];
    snprintf(record, sizeof record, "record %05d", i);
    for (size_t put = 0; put < kSize;) {
      const ssize_t more = write(ends[1], record + put, kSize - put);
      if (more > 0) put += (size_t)more;
      if (more < 0 && errno != EINTR) abort();
    }
  }
  return unused;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
  if (pipe(ends) != 0) abort();
  pthread_t thread;
  while (pthread_create(&thread, NULL, writer, NULL) != 0) sched_yield();
  char seen[kRecords][kSize];
  memset(seen, 0, sizeof seen);
  for (int i = 0; i < kRecords; ++i) read_record(seen[i]);
  pthread_join(thread, NULL);
  for (int i = 0; i < kRecords; ++i) printf("%.*s\n", kSize, seen[i]);
  return 0;
}
