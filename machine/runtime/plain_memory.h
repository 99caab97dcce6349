/* Calls that change the address space where the supervisor keeps nothing of it: part of runtime.c.
 *
 * A range is plain from the mmap of the runtime's own that made it, private, without a file and not
 * executable, until it is unmapped or the supervisor changes any of it (HostProcess::
 * mapping_changed). So there is no code to be forgotten, nothing watched, no file and nobody else
 * who shares it. */
#ifndef HEDDLE_MACHINE_RUNTIME_PLAIN_MEMORY_H
#define HEDDLE_MACHINE_RUNTIME_PLAIN_MEMORY_H

#include "machine/runtime/deciding.h"
#include "machine/runtime/served_calls.h"
#include "trace_format/syscall_log.h"

enum { kMmap = 9, kMprotect = 10, kMunmap = 11, kBrk = 12, kMremap = 25, kMadvise = 28 };
enum { kRead = 1, kWrite = 2, kExec = 4 };
enum { kPrivate = 2, kFixed = 0x10, kAnonymous = 0x20, kNoReserve = 0x4000, kStack = 0x20000 };
enum { kDontNeed = 4, kFree = 8, kHugePages = 14, kNoHugePages = 15 };
enum { kMayMove = 1, kMoveTo = 2 }; /* MREMAP_MAYMOVE, MREMAP_FIXED */

INLINE int is_failure(int64_t result) {
  return result < 0 && result > -4096;
}

INLINE uint64_t page_up(uint64_t size) {
  return (size + 0xfff) & ~(uint64_t)0xfff;
}

/* The plain range that has all of it, or null. */
INLINE struct heddle_range* plain_range(struct heddle_runtime_data* data, uint64_t start,
                                        uint64_t size) {
  if (start % 0x1000 != 0 || size == 0 || size >> 47 != 0 || start >> 47 != 0) return 0;
  const uint64_t end = start + page_up(size);
  for (unsigned i = 0; i < HEDDLE_PLAIN_RANGES; ++i) {
    struct heddle_range* range = &data->plain[i];
    if (range->start <= start && end <= range->end) return range;
  }
  return 0;
}

/* Where there is no room for it, it is not known to be plain. */
INLINE void add_plain(struct heddle_runtime_data* data, uint64_t start, uint64_t end) {
  struct heddle_range* room = 0;
  for (unsigned i = 0; i < HEDDLE_PLAIN_RANGES; ++i) {
    struct heddle_range* range = &data->plain[i];
    if (range->start >= range->end) {
      room = range;
    } else if (range->start == end) {
      range->start = start;
      return;
    } else if (range->end == start) {
      range->end = end;
      return;
    }
  }
  if (room) *room = (struct heddle_range){start, end};
}

INLINE void remove_plain(struct heddle_runtime_data* data, uint64_t start, uint64_t end) {
  struct heddle_range* range = plain_range(data, start, end - start);
  if (!range) return;
  const uint64_t last = range->end;
  if (range->start == start) {
    range->start = end;
    return;
  }
  range->end = start;
  if (end < last) add_plain(data, end, last);
}

/* ------------------------------------------------------------------ recording */

INLINE struct decision map(const struct heddle_task_state* state) {
  const uint64_t flags = state->saved[R10], size = state->saved[RSI];
  const uint64_t known = kPrivate | kAnonymous | kNoReserve | kStack | kFixed;
  if (!data_of(state)->maps || (flags & ~known) != 0) return decline();
  if ((flags & (kPrivate | kAnonymous)) != (kPrivate | kAnonymous)) return decline();
  if (state->saved[RDX] & ~(uint64_t)(kRead | kWrite)) return decline();
  if ((flags & kFixed) && !plain_range(data_of(state), state->saved[RDI], size)) return decline();
  return execute();
}

INLINE struct decision change_plain(struct heddle_task_state* state) {
  struct heddle_runtime_data* data = data_of(state);
  if (!plain_range(data, state->saved[RDI], state->saved[RSI])) return decline();
  switch (state->saved[RAX]) {
    case kMunmap:
      return execute();
    case kMprotect:
      return state->saved[RDX] & ~(uint64_t)(kRead | kWrite) ? decline() : execute();
    case kMremap:
      return state->saved[R10] & ~(uint64_t)kMayMove ? decline() : execute();
    case kMadvise:
      switch (state->saved[RDX]) {
        case kFree: /* it is the kernel's choice when the pages are lost: at once */
          state->call[3] = kDontNeed;
          return execute();
        case kDontNeed:
        case kHugePages:
        case kNoHugePages:
          return execute();
        default:
          return decline();
      }
    default:
      return decline();
  }
}

/* After a call that was made. */
INLINE void follow_plain(const struct heddle_task_state* state, int64_t result) {
  struct heddle_runtime_data* data = data_of(state);
  const uint64_t at = (uint64_t)result, old = state->saved[RDI];
  if (is_failure(result)) return;
  switch (state->saved[RAX]) {
    case kMmap:
      if (!(state->saved[R10] & kFixed)) add_plain(data, at, at + page_up(state->saved[RSI]));
      return;
    case kMunmap:
      remove_plain(data, old, old + page_up(state->saved[RSI]));
      return;
    case kMremap:
      remove_plain(data, old, old + page_up(state->saved[RSI]));
      add_plain(data, at, at + page_up(state->saved[RDX]));
      return;
    default:
      return;
  }
}

/* ------------------------------------------------------------------ replaying */

/* What the entry's call did to the address space is done again, at the recorded address. */
INLINE struct decision perform(struct heddle_task_state* state,
                               const struct heddle_log_entry* entry) {
  const uint64_t result = (uint64_t)entry->result;
  const struct decision answer = {kAnswer, entry->result};
  if (is_failure(entry->result)) return answer;
  uint64_t* call = state->call;
  call[0] = entry->number;
  for (unsigned i = 0; i < 6; ++i) call[1 + i] = entry->arguments[i];
  state->planned.expected = result;
  switch (entry->number) {
    case kMmap:
      call[1] = result;
      call[4] |= kFixed;
      break;
    case kMunmap:
    case kMprotect:
      break;
    case kMadvise:
      if (call[3] == kFree) call[3] = kDontNeed;
      break;
    case kMremap:
      if (result == call[1]) {
        call[4] &= ~(uint64_t)kMayMove;
      } else {
        call[4] |= kMayMove | kMoveTo;
        call[5] = result;
      }
      break;
    case kBrk: {
      const uint64_t from = page_up(data_of(state)->brk), to = page_up(result);
      if (from == to) return answer;
      call[0] = to > from ? kMmap : kMunmap;
      call[1] = to > from ? from : to;
      call[2] = to > from ? to - from : from - to;
      call[3] = kRead | kWrite;
      call[4] = kPrivate | kAnonymous | kFixed | kNoReserve;
      call[5] = ~(uint64_t)0;
      call[6] = 0;
      state->planned.expected = to > from ? from : 0;
      break;
    }
    default:
      return answer;
  }
  state->planned.performs = 1;
  return execute();
}

#endif
