#ifndef HEDDLE_GUESTS_THREAD_H
#define HEDDLE_GUESTS_THREAD_H

#include <pthread.h>

void start(void);
void finish(void);

#endif
