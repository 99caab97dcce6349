// call_loop N: a pipe, a pair of sockets and a file, each written and read N times, and a page of
// heap taken and given back.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

int main(int argc, char** argv) {
  const long n = argc > 1 ? atol(argv[1]) : 1;
  int pipes[2], pair[2];
  CHECK(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  const int file = memfd_create("file", MFD_CLOEXEC);
  for (long i = 0; i < n; i++) {
    long got = -1;
    CHECK(write(pipes[1], &i, sizeof i) == sizeof i);
    CHECK(read(pipes[0], &got, sizeof got) == sizeof got && got == i);
    CHECK(send(pair[0], &i, sizeof i, 0) == sizeof i);
    CHECK(recv(pair[1], &got, sizeof got, 0) == sizeof got && got == i);
    CHECK(pwrite(file, &i, sizeof i, 8 * i) == sizeof i);
    CHECK(pread(file, &got, sizeof got, 8 * i) == sizeof got && got == i);
    struct stat info;
    CHECK(fstat(file, &info) == 0 && info.st_size == 8 * i + 8);
    char* page = sbrk(8192);
    CHECK(page != (char*)-1 && page[8191] == 0);
    page[8191] = 1;
    CHECK(sbrk(-8192) == page + 8192);
  }
  puts("call_loop: ok");
  return 0;
}
