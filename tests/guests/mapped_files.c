// Memory that changes from behind: files that are written while they are mapped, one object mapped
// twice, objects that grow and shrink, shared segments.
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { kPage = 4096 };

// The compiler cannot know that two addresses show the same byte.
static void settle(void) {
  __asm__ volatile("" ::: "memory");
}

static int new_file(size_t size) {
  char path[] = "/tmp/heddle-mapped-XXXXXX";
  const int fd = mkstemp(path);
  CHECK(fd >= 0 && unlink(path) == 0 && ftruncate(fd, (off_t)size) == 0);
  return fd;
}

static char* map(int fd, size_t size, int prot, int flags, off_t offset) {
  char* at = mmap(NULL, size, prot, flags, fd, offset);
  CHECK(at != MAP_FAILED);
  return at;
}

// Two views of a memfd next to each other, as ring buffers have them.
static void ring(void) {
  const int fd = memfd_create("ring", MFD_CLOEXEC);
  CHECK(fd >= 0 && ftruncate(fd, kPage) == 0);
  char* at = map(-1, 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
  for (int i = 0; i < 2; i++)
    CHECK(mmap(at + i * kPage, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
          at + i * kPage);
  memcpy(at + kPage - 3, "around", 6);
  settle();
  CHECK(memcmp(at, "und", 3) == 0 && memcmp(at + 2 * kPage - 3, "aro", 3) == 0);
  CHECK(munmap(at, 2 * kPage) == 0 && close(fd) == 0);
}

static void written_behind(void) {
  const int fd = new_file(4 * kPage);
  char* shared = map(fd, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, kPage);
  char* reader = map(fd, 4 * kPage, PROT_READ, MAP_SHARED, 0);
  char* private = map(fd, 4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  private[kPage] = 'p';  // this page is its own from here on
  CHECK(pwrite(fd, "first", 5, kPage) == 5);
  CHECK(memcmp(shared, "first", 5) == 0 && private[kPage] == 'p' && private[kPage + 1] == 0);
  CHECK(pwrite(fd, "second", 6, 2 * kPage - 3) == 6);
  CHECK(memcmp(shared + kPage - 3, "second", 6) == 0);
  CHECK(memcmp(private + 2 * kPage, "ond", 3) == 0);
  CHECK(lseek(fd, 3 * kPage, SEEK_SET) == 3 * kPage);
  struct iovec parts[2] = {{"vec", 3}, {"tor", 3}};
  CHECK(writev(fd, parts, 2) == 6);
  CHECK(memcmp(reader + 3 * kPage, "vector", 6) == 0);
  memcpy(shared + 10, "stored", 6);
  settle();
  CHECK(memcmp(reader + kPage + 10, "stored", 6) == 0);

  const int other = new_file(0);
  CHECK(write(other, "copied", 6) == 6);
  off_t from = 0, to = kPage + 100;
  CHECK(copy_file_range(other, &from, fd, &to, 6, 0) == 6);
  CHECK(memcmp(shared + 100, "copied", 6) == 0);
  from = 0;
  CHECK(lseek(fd, kPage + 200, SEEK_SET) > 0 && sendfile(fd, other, &from, 6) == 6);
  CHECK(memcmp(shared + 200, "copied", 6) == 0);
  CHECK(fcntl(fd, F_SETFL, O_APPEND) == 0 && write(fd, "end", 3) == 3);
  CHECK(memcmp(reader + kPage, shared, kPage) == 0);
  if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kPage, kPage) == 0)
    CHECK(shared[0] == 0 && shared[100] == 0 && memcmp(shared + kPage, "ond", 3) == 0);
  CHECK(munmap(shared, 2 * kPage) == 0 && munmap(reader, 4 * kPage) == 0);
  CHECK(munmap(private, 4 * kPage) == 0 && close(other) == 0 && close(fd) == 0);
}

static sigjmp_buf beyond;
static void on_bus(int number) {
  (void)number;
  siglongjmp(beyond, 1);
}

static int readable(volatile char* at) {
  if (sigsetjmp(beyond, 1)) return 0;
  (void)*at;
  return 1;
}

static void grown_and_shrunk(void) {
  const int fd = new_file(kPage);
  char* at = map(fd, 3 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  signal(SIGBUS, on_bus);
  CHECK(readable(at) && !readable(at + kPage));
  CHECK(ftruncate(fd, 3 * kPage) == 0 && readable(at + 2 * kPage));
  memset(at, 'x', 3 * kPage);
  CHECK(ftruncate(fd, kPage + 10) == 0);
  CHECK(!readable(at + 2 * kPage) && at[kPage + 9] == 'x' && at[kPage + 10] == 0);
  CHECK(pwrite(fd, "y", 1, 2 * kPage) == 1 && at[2 * kPage] == 'y' && at[2 * kPage + 1] == 0);
  CHECK(at[kPage + 9] == 'x');
  signal(SIGBUS, SIG_DFL);
  CHECK(munmap(at, 3 * kPage) == 0);
  at = map(fd, kPage, PROT_READ, MAP_SHARED, kPage);
  CHECK(at[9] == 'x' && at[10] == 0);
  CHECK(munmap(at, kPage) == 0 && close(fd) == 0);
}

static void segments(void) {
  const int id = shmget(IPC_PRIVATE, 2 * kPage, IPC_CREAT | 0600);
  if (id < 0) return;
  char* one = shmat(id, NULL, 0);
  char* two = shmat(id, NULL, SHM_RDONLY);
  CHECK(one != (char*)-1 && two != (char*)-1 && shmctl(id, IPC_RMID, NULL) == 0);
  strcpy(one + kPage, "segment");
  settle();
  CHECK(strcmp(two + kPage, "segment") == 0);
  CHECK(shmdt(one) == 0 && strcmp(two + kPage, "segment") == 0 && shmdt(two) == 0);
}

// A view in two pieces counts as two attachments, and so does a child's.
static void segment_in_pieces(void) {
  const int id = shmget(IPC_PRIVATE, 2 * kPage, IPC_CREAT | 0600);
  if (id < 0) return;
  char* one = shmat(id, NULL, 0);
  CHECK(one != (char*)-1 && mprotect(one, kPage, PROT_READ) == 0);
  const pid_t child = fork();
  if (child == 0) {
    char* again = shmat(id, NULL, 0);
    if (again == (char*)-1) _exit(1);
    strcpy(again + kPage, "by the child");
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(strcmp(one + kPage, "by the child") == 0);
  CHECK(shmdt(one) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
}

static void anonymous(void) {
  char* at = map(-1, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, 0);
  char* again = mremap(at, 0, 2 * kPage, MREMAP_MAYMOVE);  // a second view of the same pages
  CHECK(again != MAP_FAILED);
  strcpy(at, "twice");
  settle();
  CHECK(strcmp(again, "twice") == 0);
  CHECK(madvise(at, kPage, MADV_DONTNEED) == 0 && strcmp(at, "twice") == 0);
  again = mremap(again, 2 * kPage, kPage, 0);
  CHECK(munmap(at, 2 * kPage) == 0 && strcmp(again, "twice") == 0 && munmap(again, kPage) == 0);

  const int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
  at = map(zero, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  CHECK(at[5] == 0);
  at[5] = 1;
  CHECK(munmap(at, kPage) == 0 && close(zero) == 0);

  at = map(-1, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
  at[0] = 1;
  CHECK(madvise(at, kPage, MADV_FREE) == 0);
  printf("after MADV_FREE: %d\n", at[0]);  // either is right, and the same when replayed
  CHECK(munmap(at, kPage) == 0);
}

int main(void) {
  ring();
  written_behind();
  grown_and_shrunk();
  segments();
  segment_in_pieces();
  anonymous();
  puts("mapped_files: ok");
  return 0;
}
