// The smallest statically linked C program that prints.
#include <stdio.h>

int main(void) {
  puts("static_hello: ok");
  return 0;
}
