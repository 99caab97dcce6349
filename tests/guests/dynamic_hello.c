// The smallest dynamically linked C program that prints.
#include <stdio.h>

int main(void) {
  puts("dynamic_hello: ok");
  return 0;
}
