#ifndef HEDDLE_GUESTS_STACKS_H
#define HEDDLE_GUESTS_STACKS_H

extern volatile int sink;
void stop_here(void);
void only_debug_frame(int n);
void only_frame_pointer(int n);

#endif
