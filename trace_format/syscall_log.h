/* The log of system calls that were served in the tracee: a header, then entries one after another.
 * While recording two of them are the file `log` of the trace, mapped by tracee and supervisor, so
 * they outlive both: one is filled while what is in the other becomes a chunk. Written by the
 * runtime, which is C. */
#ifndef HEDDLE_TRACE_FORMAT_SYSCALL_LOG_H
#define HEDDLE_TRACE_FORMAT_SYSCALL_LOG_H

#include <stdint.h>

/* One call, as event::Syscall has it. Its effects follow. */
struct heddle_log_entry {
  uint64_t check;   /* heddle_log_check(); recording only */
  uint32_t size;    /* bytes of the entry with its effects: a multiple of 8 */
  uint32_t effects; /* how many */
  uint64_t ticks;   /* the Place of the syscall instruction; phase 0 */
  uint64_t pc;
  uint32_t task;
  uint32_t number;
  uint64_t arguments[6];
  int64_t result;
};

/* Memory of the guest that the call wrote. Its bytes follow, then zeros up to a multiple of 8. */
struct heddle_log_effect {
  uint64_t address;
  uint32_t size;
  uint32_t kind; /* HEDDLE_EFFECT_... */
};

enum {
  HEDDLE_EFFECT_WRITTEN = 0,
  /* No memory: `address` is heddle_given() of the bytes that the call took, `size` is 0. */
  HEDDLE_EFFECT_GIVEN = 3,
  /* Memory that the call took, as it was before: what the call changed follows from it. */
  HEDDLE_EFFECT_TAKEN = 4,
  /* Replay only. */
  HEDDLE_EFFECT_SHOWN = 1,     /* taken from the guest's memory when the call is answered */
  HEDDLE_EFFECT_REGISTERS = 2, /* no memory: the registers at the call, as heddle::Registers */
};

enum { HEDDLE_LOG_RECORD = 1, HEDDLE_LOG_REPLAY = 2 };

struct heddle_log {
  uint64_t magic; /* HEDDLE_LOG_MAGIC */
  uint32_t mode;
  uint32_t capacity; /* bytes of entries that there is room for */
  uint64_t used;     /* heddle_log_count() of the bytes of the committed entries */
  uint64_t served;   /* replay: bytes of the entries that answered a call */
  uint64_t
      first_event; /* recording: the number of the first entry's event; the next one's follows */
  uint64_t in_use; /* recording: bytes from the first log to the one in use; in the first */
  uint64_t calls;  /* recording: entries; may be one ahead of `used` while one is committed */
  uint64_t taken;  /* recording: entries with HEDDLE_EFFECT_TAKEN; likewise */
  uint64_t reserved[8];
};
/* The entries follow the header. */

#define HEDDLE_LOG_MAGIC 0x32474f4c4448ull /* "HDLOG2" */
enum { HEDDLE_LOG_USED = 16 };             /* offset of `used` */
enum { HEDDLE_LOG_SIZE = 0x80000 };        /* recording: bytes of one log, where the other begins */

/* A count with its complement in the upper half: written by one store, and a damaged one shows. */
static inline uint64_t heddle_log_count(uint32_t count) {
  return count | (uint64_t)~count << 32;
}

/* Bytes of an effect with its contents. */
static inline uint64_t heddle_effect_size(uint32_t size) {
  return sizeof(struct heddle_log_effect) + (((uint64_t)size + 7) & ~(uint64_t)7);
}

/* Calls whose second argument points to what they take, of which they take as much as they return.
 */
static inline int heddle_takes_bytes(uint64_t number) {
  return number == 1 /* write */ || number == 18 /* pwrite64 */ || number == 44 /* sendto */;
}

/* A digest of bytes, for finding out that they differ; not for who wants them to. */
static inline uint64_t heddle_given(const uint8_t* bytes, uint64_t size) {
  const uint64_t factor = 0x9e3779b97f4a7c15ull;
  uint64_t a = size ^ factor, b = factor, c = ~factor, d = 1, word;
  for (; size >= 32; bytes += 32, size -= 32) {
    __builtin_memcpy(&word, bytes, 8);
    a = (a ^ word) * factor;
    __builtin_memcpy(&word, bytes + 8, 8);
    b = (b ^ word) * factor;
    __builtin_memcpy(&word, bytes + 16, 8);
    c = (c ^ word) * factor;
    __builtin_memcpy(&word, bytes + 24, 8);
    d = (d ^ word) * factor;
  }
  a = (a ^ (b >> 31 | b << 33)) * factor;
  c = (c ^ (d >> 29 | d << 35)) * factor;
  a ^= c >> 32 | c << 32;
  for (; size >= 8; bytes += 8, size -= 8) {
    __builtin_memcpy(&word, bytes, 8);
    a = (a ^ word) * factor;
    a ^= a >> 29;
  }
  for (; size > 0; ++bytes, --size) {
    a = (a ^ *bytes) * factor;
    a ^= a >> 29;
  }
  return a;
}

/* Of everything behind `check`, for the entry at `offset` behind the header of the log whose first
 * event is that. `entry->size` is known to be good. Four sums, since a multiplication waits for the
 * one before. */
static inline uint64_t heddle_log_check(const struct heddle_log_entry* entry, uint64_t first_event,
                                        uint32_t offset) {
  const uint64_t factor = 0x9e3779b97f4a7c15ull;
  uint64_t a = first_event ^ factor, b = offset + factor, c = factor << 1, d = factor >> 1, word;
  const char* at = (const char*)entry + 8;
  const char* end = (const char*)entry + entry->size;
  for (; end - at >= 32; at += 32) {
    __builtin_memcpy(&word, at, 8);
    a = (a ^ word) * factor;
    __builtin_memcpy(&word, at + 8, 8);
    b = (b ^ word) * factor;
    __builtin_memcpy(&word, at + 16, 8);
    c = (c ^ word) * factor;
    __builtin_memcpy(&word, at + 24, 8);
    d = (d ^ word) * factor;
  }
  for (; at < end; at += 8) {
    __builtin_memcpy(&word, at, 8);
    a = ((a ^ word) + (a >> 32)) * factor;
  }
  a = ((a ^ (b << 32 | b >> 32)) + (a >> 32)) * factor;
  c = ((c ^ (d << 32 | d >> 32)) + (c >> 32)) * factor;
  return (a ^ (c << 32 | c >> 32)) * factor;
}

#endif
