/* One thread, whose first system calls can meet a fault already. Wrong: a write is taken to move
 * all that it is given. Correct: the rest is written again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char text[] = "written and read by one thread\n";

int main(void) {
  int ends[2];
  while (pipe(ends) != 0)
    if (errno != ENOMEM && errno != EINTR) abort();
  for (size_t put = 0; put < sizeof text - 1;) {
    const ssize_t more = write(ends[1], text + put, sizeof text - 1 - put);
    if (more > 0) put += (size_t)more;
    if (more < 0 && errno != EINTR) abort();
#ifndef CORRECT
    break;
#endif
  }
  close(ends[1]);
  char back[sizeof text] = "";
  for (size_t got = 0;;) {
    const ssize_t more = read(ends[0], back + got, sizeof text - 1 - got);
    if (more == 0) break;
    if (more > 0) got += (size_t)more;
    if (more < 0 && errno != EINTR) abort();
    if (got == sizeof text - 1) break;
  }
  return strcmp(back, text) == 0 ? 0 : 1;
}
