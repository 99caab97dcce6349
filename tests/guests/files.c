// Regular files and directories: open, write, pread, lseek, ftruncate, mmap (private, and shared
// with a later write to the file), stat, getdents, rename, unlink. Works in a directory of its own.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "check.h"

enum { kSize = 3 * 4096 };

static void mapped(int fd, const char* pattern) {
  char* private_view = mmap(NULL, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  char* shared_view = mmap(NULL, kSize, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(private_view != MAP_FAILED && shared_view != MAP_FAILED);
  CHECK(memcmp(private_view, pattern, kSize) == 0);
  CHECK(memcmp(shared_view, pattern, kSize) == 0);
  memset(private_view, 'P', 16);
  CHECK(shared_view[0] == pattern[0]);
  CHECK(pwrite(fd, "written", 7, 4096) == 7);
  CHECK(memcmp(shared_view + 4096, "written", 7) == 0);
  CHECK(pwrite(fd, pattern + 4096, 7, 4096) == 7);
  CHECK(munmap(private_view, kSize) == 0 && munmap(shared_view, kSize) == 0);
}

static void listed(const char* directory) {
  DIR* stream = opendir(directory);
  CHECK(stream);
  int seen = 0;
  for (struct dirent* entry; (entry = readdir(stream));) {
    if (entry->d_name[0] != '.') seen += strcmp(entry->d_name, "second") == 0 ? 1 : 100;
  }
  CHECK(seen == 1);
  CHECK(closedir(stream) == 0);
}

int main(void) {
  char directory[] = "/tmp/heddle-files-XXXXXX";
  char first[64], second[64], pattern[kSize], back[kSize];
  CHECK(mkdtemp(directory));
  snprintf(first, sizeof first, "%s/first", directory);
  snprintf(second, sizeof second, "%s/second", directory);
  for (int i = 0; i < kSize; i++) pattern[i] = (char)('a' + i % 23);

  const int fd = open(first, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(fd >= 0);
  CHECK(write(fd, pattern, kSize / 2) == kSize / 2);
  struct iovec parts[2] = {{pattern + kSize / 2, 100},
                           {pattern + kSize / 2 + 100, kSize / 2 - 100}};
  CHECK(writev(fd, parts, 2) == kSize / 2);
  CHECK(lseek(fd, 0, SEEK_END) == kSize && lseek(fd, 0, SEEK_SET) == 0);
  CHECK(read(fd, back, kSize) == kSize && memcmp(back, pattern, kSize) == 0);
  CHECK(read(fd, back, 1) == 0);
  CHECK(pread(fd, back, 10, 4090) == 10 && memcmp(back, pattern + 4090, 10) == 0);
  struct stat status;
  CHECK(fstat(fd, &status) == 0 && status.st_size == kSize && S_ISREG(status.st_mode));
  mapped(fd, pattern);
  CHECK(ftruncate(fd, 5) == 0);
  CHECK(rename(first, second) == 0);
  CHECK(stat(first, &status) == -1 && errno == ENOENT);
  CHECK(stat(second, &status) == 0 && status.st_size == 5);
  listed(directory);
  CHECK(close(fd) == 0);
  CHECK(unlink(second) == 0 && rmdir(directory) == 0);
  puts("files: ok");
  return 0;
}
