// A guest's own check: on failure it says which one and exits with 1.
#ifndef HEDDLE_GUESTS_CHECK_H
#define HEDDLE_GUESTS_CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                       \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      fprintf(stderr, "%s:%d: %s failed (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
      exit(1);                                                                                 \
    }                                                                                          \
  } while (0)

#endif
