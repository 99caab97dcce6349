// A process becomes another user's, who may not open the recorder's files, and executes a program.
// Where it may not change its user, it only executes one.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "child") == 0) {
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      puts("other_user: grandchild");
      return 0;
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    for (int i = 0; i < 100; i++) CHECK(getppid() > 0 && write(1, ".", 1) == 1);
    puts("\nother_user: ok");
    return 0;
  }
  if (geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
  execl(argv[0], argv[0], "child", NULL);
  if (errno == EACCES) {
    puts("other_user: may not execute this program");
    return 0;
  }
  perror(argv[0]);
  return 1;
}
