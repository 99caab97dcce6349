#ifndef HEDDLE_GUESTS_DESCEND_H
#define HEDDLE_GUESTS_DESCEND_H

void descend(int n);
void on_another_thread(void);

#endif
