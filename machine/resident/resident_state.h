/* What entry.cpp's code keeps beside a task's state page while the guest's code runs in this very
 * process. Behind heddle_task_state, in the same page. */
#ifndef HEDDLE_MACHINE_RESIDENT_RESIDENT_STATE_H
#define HEDDLE_MACHINE_RESIDENT_RESIDENT_STATE_H

#include "machine/runtime/task_state.h"

struct heddle_resident_state {
  struct heddle_task_state task;
  uint64_t unused[(0x400 - sizeof(struct heddle_task_state)) / 8];
  uint64_t host_rsp;      /* 0x400 of the call of heddle_resident_enter() */
  uint64_t host_fs;       /* 0x408 our own fs base */
  uint64_t extended;      /* 0x410 the task's XSAVE area, standard format, 64-byte aligned */
  uint64_t host_mxcsr;    /* 0x418 */
  uint64_t extended_mask; /* 0x420 components in it (XCR0's bits) */
  uint64_t resume;        /* 0x428 host address to run from */
  uint64_t in_guest;      /* 0x430 the guest's code runs: a fault is the guest's */
  uint64_t exit;          /* 0x438 low half of the host address of the exit taken last */
  uint64_t exit_entry;    /* 0x440 where exits jump to */
};

#ifdef __cplusplus
extern "C" {
#endif
/* Runs from `resume` with the registers of task.saved, task.saved_flags, task.fs_base and
 * `extended` until an exit or a fault; all of them are then what the guest left. gs must point at
 * the state. */
void heddle_resident_enter(struct heddle_resident_state* state);
/* Where exits jump to, and where a fault's handler returns to when it has filled in task.saved and
 * task.saved_flags. Not to be called. */
void heddle_resident_left(void);
void heddle_resident_faulted(void);
#ifdef __cplusplus
}
#endif

#endif
