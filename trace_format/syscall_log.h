/* The log of system calls that were served in the tracee: a header, then entries of fixed size.
 * While recording it is the file `log` of the trace, mapped by tracee and supervisor, so it
 * outlives both. Written by the runtime, which is C. */
#ifndef HEDDLE_TRACE_FORMAT_SYSCALL_LOG_H
#define HEDDLE_TRACE_FORMAT_SYSCALL_LOG_H

#include <stdint.h>

/* One call, as event::Syscall has it. */
struct heddle_log_entry {
  uint64_t ticks; /* the Place of the syscall instruction; phase 0 */
  uint64_t pc;
  uint32_t task;
  uint32_t number;
  uint64_t arguments[6];
  int64_t result;
  uint64_t effect_address; /* of the guest: where `effect` was written */
  uint32_t effect_size;    /* bytes of `effect` that were, at most 16; 0: none */
  uint32_t reserved;       /* zero */
  uint8_t effect[16];
  uint64_t reserved_too; /* zero */
  uint64_t check;        /* heddle_log_check(); recording only */
};

enum { HEDDLE_LOG_RECORD = 1, HEDDLE_LOG_REPLAY = 2 };

struct heddle_log {
  uint64_t magic; /* HEDDLE_LOG_MAGIC */
  uint32_t mode;
  uint32_t capacity;    /* entries that there is room for */
  uint64_t used;        /* heddle_log_count() of the committed entries */
  uint64_t served;      /* replay: entries that answered a call */
  uint64_t first_event; /* recording: the number of entry 0's event; entry i's is i more */
  uint64_t reserved[11];
};
/* The entries follow the header. */

#define HEDDLE_LOG_MAGIC 0x31474f4c4448ull /* "HDLOG1" */
enum { HEDDLE_LOG_USED = 16 };             /* offset of `used` */

/* A count with its complement in the upper half: written by one store, and a damaged one shows. */
static inline uint64_t heddle_log_count(uint32_t count) {
  return count | (uint64_t)~count << 32;
}

/* Of everything before `check`, for the entry that is the event of that number. */
static inline uint64_t heddle_log_check(const struct heddle_log_entry* entry, uint64_t event) {
  uint64_t hash = event ^ 0x9e3779b97f4a7c15ull;
  for (int i = 0; i < 15; ++i) {
    uint64_t word;
    __builtin_memcpy(&word, (const char*)entry + 8 * i, 8);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    hash ^= hash >> 29;
  }
  return hash;
}

#endif
