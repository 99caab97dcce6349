#ifndef HEDDLE_GUESTS_COUNTER_H
#define HEDDLE_GUESTS_COUNTER_H

void increment(void);
int total(void);

#endif
