/* One thread closes a descriptor and opens another file, which gets its number, while another
 * thread is about to read from it: it reads the wrong file's data. Correct: a duplicate of one's
 * own. With RAW defined, without the C library's functions. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "two_threads.h"

#ifdef RAW
#define read(...) syscall(SYS_read, __VA_ARGS__)
#define close(...) syscall(SYS_close, __VA_ARGS__)
#define open(...) (int)syscall(SYS_open, __VA_ARGS__)
#endif

static int shared;
static int own;
static char name[2][32];
static char data[8];

static int make_file(char* path, const char* contents) {
  strcpy(path, "/tmp/heddle-guest-XXXXXX");
  const int descriptor = mkstemp(path);
  if (descriptor < 0 || write(descriptor, contents, 6) != 6) abort();
  close(descriptor);
  return open(path, O_RDONLY);
}

static void* reader(void* unused) {
#ifdef CORRECT
  const int from = own;
#else
  const int from = shared;
#endif
  if (read(from, data, 6) < 0) strcpy(data, "closed");
  return unused;
}

static void* replacer(void* unused) {
  close(shared);
  const int other = open(name[1], O_RDONLY);
  char bytes[8];
  if (read(other, bytes, 6) != 6) abort();
  lseek(other, 0, SEEK_SET);
  return unused;
}

int main(void) {
  shared = make_file(name[0], "first ");
  close(make_file(name[1], "second"));
  own = dup(shared);
  run_both(reader, replacer);
  puts(data);
  unlink(name[0]);
  unlink(name[1]);
  return 0;
}
