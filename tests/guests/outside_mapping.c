// outside_mapping hold FILE: maps the file shared and writable, says so, and keeps it until its
// input ends. outside_mapping map FILE: maps it too, and ends.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

int main(int argc, char** argv) {
  CHECK(argc == 3);
  const int fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
  char* at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(at != MAP_FAILED);
  char byte;
  if (strcmp(argv[1], "hold") == 0) {
    puts("holding");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) continue;
  }
  puts("outside_mapping: ok");
  return 0;
}
