/* Which calls the runtime makes by itself, and how: part of runtime.c. Until the call is made, only
 * what leaves no trace in guest or kernel is done, since a signal takes the thread back from here.
 *
 * A call that may wait is made so that it does not: MSG_DONTWAIT, RWF_NOWAIT, no time, a look at
 * O_NONBLOCK. What would have waited is left to the supervisor (enum heddle_retry). */
#ifndef HEDDLE_MACHINE_RUNTIME_DECIDING_H
#define HEDDLE_MACHINE_RUNTIME_DECIDING_H

#include "machine/runtime/served_calls.h"
#include "machine/runtime/task_state.h"

#define INLINE static inline __attribute__((always_inline))

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 }; /* indexes of saved[] */

/* What prepare() found, in rax and rdx. */
enum { kDecline = 0, kExecute = 1, kAnswer = 2 };
struct decision {
  uint64_t act;
  int64_t result; /* kAnswer: the call's */
};

/* Results of a call after which the supervisor makes it again. It has had no effect then. */
enum heddle_retry {
  kRetryWait = 1,        /* EAGAIN, and the descriptor is one that waits */
  kRetrySignal = 2,      /* EPIPE, and a SIGPIPE that was held back */
  kRetryZero = 4,        /* 0: nothing yet */
  kRetryUnsupported = 8, /* the kernel cannot try it */
};

enum { kNotPermitted = 1, kBadDescriptor = 9 };
enum { kAgain = 11, kFault = 14, kPipe = 32, kNoSystemCall = 38, kUnsupported = 95 };
enum { kEpollPwait = 281 };
enum { kStat = 5, kPoll = 7, kGetsockopt = 55, kSendto = 44, kRecvfrom = 45, kSendmsg = 46 };
enum { kFcntl = 72, kNewfstatat = 262, kPreadv2 = 327, kPwritev2 = 328 };
enum { kGetFlags = 3, kNonblock = 0x800 };
enum { kDontWait = 0x40, kNoSignal = 0x4000, kWaitAll = 0x100, kOob = 1, kErrorQueue = 0x2000 };
enum { kNoWait = 8 };    /* RWF_NOWAIT */
enum { kAtomic = 4096 }; /* PIPE_BUF */
enum { kMostBytes = 0x7ffff000 };

INLINE struct decision decline(void) {
  return (struct decision){kDecline, 0};
}

INLINE int would_wait(struct heddle_task_state* state) {
  state->planned.left = HEDDLE_LEFT_WAITS;
  return 1;
}

INLINE struct decision wait(struct heddle_task_state* state) {
  would_wait(state);
  return decline();
}

INLINE struct decision execute(void) {
  return (struct decision){kExecute, 0};
}

/* A call of our own that changes nothing. */
INLINE int64_t probe(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
  register uint64_t r10 __asm__("r10") = d;
  register uint64_t r8 __asm__("r8") = e;
  int64_t result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}

INLINE uint64_t argument(const struct heddle_task_state* state, unsigned i) {
  const uint64_t* saved = state->saved;
  return i == 0   ? saved[RDI]
         : i == 1 ? saved[RSI]
         : i == 2 ? saved[RDX]
         : i == 3 ? saved[R10]
         : i == 4 ? saved[R8]
                  : saved[R9];
}

INLINE void plan(struct heddle_task_state* state, uint64_t address, uint64_t room, uint64_t how,
                 uint64_t length) {
  if (address == 0 || room == 0) return;
  if (room > kMostBytes) room = kMostBytes;
  struct heddle_planned_effect* effect = &state->planned.effects[state->planned.count++];
  effect->address = address;
  effect->room = room;
  effect->how = how;
  effect->length = length;
}

INLINE int nonblocking(uint64_t descriptor) {
  const int64_t flags = probe(kFcntl, descriptor, kGetFlags, 0, 0, 0);
  return flags >= 0 && (flags & kNonblock) != 0;
}

INLINE struct heddle_runtime_data* data_of(const struct heddle_task_state* state) {
  return (struct heddle_runtime_data*)state->data;
}

/* struct stat: st_mode and st_rdev. The devices that never wait: null, zero, full, urandom. */
INLINE unsigned kind_by_status(const uint64_t* status) {
  const uint32_t mode = (uint32_t)status[3] & 0170000;
  const uint64_t device = status[5];
  if (mode == 0100000 || mode == 0040000) return HEDDLE_FILE;
  if (mode == 0020000)
    return device == 0x103 || device == 0x105 || device == 0x107 || device == 0x109
               ? HEDDLE_FILE | HEDDLE_WRITES
               : HEDDLE_OTHER;
  if (mode == 0010000) return HEDDLE_PIPE;
  if (mode == 0140000) return HEDDLE_STREAM;
  return mode == 0 ? HEDDLE_ANONYMOUS : HEDDLE_OTHER;
}

/* Bytes and datagrams, of which any number does. */
INLINE unsigned kind_of_socket(uint64_t descriptor) {
  int32_t type = 0, least = 0;
  uint32_t size = sizeof type;
  if (probe(kGetsockopt, descriptor, 1, 3 /* SO_TYPE */, (uint64_t)&type, (uint64_t)&size) < 0)
    return HEDDLE_OTHER;
  if (probe(kGetsockopt, descriptor, 1, 18 /* SO_RCVLOWAT */, (uint64_t)&least, (uint64_t)&size) <
      0)
    return HEDDLE_OTHER;
  return (type == 1 || type == 2) && least == 1 ? HEDDLE_STREAM : HEDDLE_OTHER;
}

/* Where two processes share the memory, or the descriptors, but not both, one of them learns
 * nothing. */
INLINE void learn(const struct heddle_task_state* state, uint64_t descriptor, unsigned kind) {
  if (!state->looks) data_of(state)->descriptors[descriptor] = (uint8_t)kind;
}

/* enum heddle_descriptor, with HEDDLE_WRITES. One that is not open does not wait either. */
INLINE unsigned kind_of(const struct heddle_task_state* state, uint64_t descriptor) {
  if (descriptor >= HEDDLE_DESCRIPTORS) return HEDDLE_OTHER;
  const uint8_t known = data_of(state)->descriptors[descriptor];
  if (known != HEDDLE_UNKNOWN && !state->looks) return known;
  uint64_t status[18];
  const int64_t failure = probe(kStat, descriptor, (uint64_t)status, 0, 0, 0);
  if (failure == -kBadDescriptor) return HEDDLE_FILE | HEDDLE_WRITES;
  if (failure < 0) return HEDDLE_OTHER;
  unsigned kind = kind_by_status(status);
  if (kind == HEDDLE_STREAM) kind = kind_of_socket(descriptor);
  learn(state, descriptor, kind);
  return kind;
}

/* A wait on a word that has another value already ends at once; any other may sleep. The guest's
 * memory is read as the kernel would read it: a fault takes the call back to the supervisor. */
INLINE struct decision futex(struct heddle_task_state* state) {
  enum { kWait = 0, kWake = 1, kWaitBitset = 9, kWakeBitset = 10, kPrivate = 128, kRealtime = 256 };
  const uint32_t operation = (uint32_t)state->saved[RSI];
  const uint32_t command = operation & ~(uint32_t)(kPrivate | kRealtime);
  if (command == kWake || command == kWakeBitset) return execute();
  if (command != kWait && command != kWaitBitset) return decline();
  if (command == kWait && (operation & kRealtime)) return decline();
  if (command == kWaitBitset && (uint32_t)state->saved[R9] == 0) return decline();
  if (state->saved[RDI] % 4 != 0) return decline();
  if (state->saved[R10] != 0) {
    const volatile int64_t* timeout = (const volatile int64_t*)state->saved[R10];
    const int64_t seconds = timeout[0], nanoseconds = timeout[1];
    if (seconds < 0 || nanoseconds < 0 || nanoseconds >= 1000000000) return decline();
  }
  const uint32_t word = *(const volatile uint32_t*)state->saved[RDI];
  if (word == (uint32_t)state->saved[RDX]) return wait(state);
  return (struct decision){kAnswer, -kAgain};
}

/* Bytes of an array of struct iovec; more than can be where it is too long. */
INLINE uint64_t total(const volatile uint64_t* parts, uint64_t count) {
  if (count > 64) return ~(uint64_t)0;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t size = parts[2 * i + 1];
    if (size > kMostBytes) return ~(uint64_t)0;
    sum += size;
  }
  return sum;
}

INLINE struct decision vectored(struct heddle_task_state* state, uint64_t number, uint64_t parts,
                                uint64_t count) {
  state->call[0] = number;
  state->call[2] = parts;
  state->call[3] = count;
  state->call[4] = ~(uint64_t)0; /* at the descriptor's position, or none */
  state->call[5] = 0;
  state->call[6] = kNoWait;
  state->planned.retry = kRetryWait | kRetryUnsupported;
  return execute();
}

INLINE struct decision receive(struct heddle_task_state* state, uint64_t flags) {
  if (flags & (kWaitAll | kOob | kErrorQueue)) return decline();
  state->call[0] = kRecvfrom;
  state->call[4] = flags | kDontWait;
  if (!(flags & kDontWait)) state->planned.retry = kRetryWait;
  return execute();
}

/* One that waits takes few bytes only: those are sent whole or not at all. */
INLINE struct decision send(struct heddle_task_state* state, uint64_t size, uint64_t flags) {
  if (size > kAtomic && !(flags & kDontWait) && !nonblocking(state->saved[RDI])) return decline();
  if (!(flags & kDontWait)) state->planned.retry |= kRetryWait;
  if (!(flags & kNoSignal)) state->planned.retry |= kRetrySignal;
  return execute();
}

INLINE struct decision read_one(struct heddle_task_state* state) {
  const uint64_t size = state->saved[RDX];
  plan(state, state->saved[RSI], size, HEDDLE_EXTENT_RETURNED, 0);
  switch (kind_of(state, state->saved[RDI]) & HEDDLE_KIND) {
    case HEDDLE_FILE:
      return execute();
    case HEDDLE_STREAM:
      if (size == 0) return decline();
      state->call[5] = state->call[6] = 0;
      return receive(state, 0);
    case HEDDLE_PIPE:
    case HEDDLE_ANONYMOUS:
      state->planned.part[0] = state->saved[RSI];
      state->planned.part[1] = size;
      return vectored(state, kPreadv2, (uint64_t)state->planned.part, 1);
    default:
      return decline();
  }
}

INLINE struct decision read_parts(struct heddle_task_state* state) {
  const volatile uint64_t* parts = (const volatile uint64_t*)state->saved[RSI];
  const uint64_t count = state->saved[RDX];
  if (count == 0 || count > HEDDLE_PLANNED_EFFECTS) return decline();
  for (uint64_t i = 0; i < count; ++i)
    plan(state, parts[2 * i], parts[2 * i + 1], HEDDLE_EXTENT_RETURNED, 0);
  switch (kind_of(state, state->saved[RDI]) & HEDDLE_KIND) {
    case HEDDLE_FILE:
      return execute();
    case HEDDLE_PIPE:
    case HEDDLE_ANONYMOUS:
      return vectored(state, kPreadv2, state->saved[RSI], count);
    default:
      return decline();
  }
}

INLINE int has_room(uint64_t descriptor) {
  uint32_t poll[2] = {(uint32_t)descriptor, 4 /* POLLOUT */};
  return probe(kPoll, (uint64_t)poll, 1, 0, 0, 0) == 1 && poll[1] == (4 | 4 << 16);
}

INLINE struct decision write_one(struct heddle_task_state* state) {
  const uint64_t descriptor = state->saved[RDI], size = state->saved[RDX];
  const unsigned kind = kind_of(state, descriptor);
  switch (kind & HEDDLE_KIND) {
    case HEDDLE_FILE:
      return kind & HEDDLE_WRITES ? execute() : decline();
    case HEDDLE_STREAM:
      if (size == 0) return decline();
      state->call[0] = kSendto;
      state->call[4] = kDontWait | kNoSignal;
      state->call[5] = state->call[6] = 0;
      return send(state, size, 0);
    case HEDDLE_PIPE:
      if (size > kAtomic && !nonblocking(descriptor)) return decline();
      state->planned.part[0] = state->saved[RSI];
      state->planned.part[1] = size;
      return vectored(state, kPwritev2, (uint64_t)state->planned.part, 1);
    case HEDDLE_ANONYMOUS:
      /* An event counter waits only where the sum would not fit. */
      if (size != 8 || *(const volatile uint64_t*)state->saved[RSI] != 1) return decline();
      return has_room(descriptor) ? execute() : decline();
    default:
      return decline();
  }
}

INLINE struct decision write_parts(struct heddle_task_state* state) {
  const uint64_t descriptor = state->saved[RDI], parts = state->saved[RSI];
  const uint64_t count = state->saved[RDX];
  const unsigned kind = kind_of(state, descriptor);
  if ((kind & HEDDLE_KIND) == HEDDLE_FILE) return kind & HEDDLE_WRITES ? execute() : decline();
  const uint64_t size = total((const volatile uint64_t*)parts, count);
  if (size == 0 || size > kMostBytes) return decline();
  if (kind == HEDDLE_PIPE) {
    if (size > kAtomic && !nonblocking(descriptor)) return decline();
    return vectored(state, kPwritev2, parts, count);
  }
  if (kind != HEDDLE_STREAM) return decline();
  uint64_t* message = state->planned.message;
  message[0] = message[1] = message[4] = message[5] = message[6] = 0;
  message[2] = parts;
  message[3] = count;
  state->call[0] = kSendmsg;
  state->call[2] = (uint64_t)message;
  state->call[3] = kDontWait | kNoSignal;
  return send(state, size, 0);
}

/* A socket address that the kernel writes, and its length. */
INLINE void plan_address(struct heddle_task_state* state, uint64_t address, uint64_t length) {
  if (address == 0 || length == 0) return;
  const uint32_t room = *(const volatile uint32_t*)length;
  plan(state, address, room, HEDDLE_EXTENT_ADDRESS, length);
  plan(state, length, 4, HEDDLE_EXTENT_FIXED, 0);
}

INLINE struct decision receive_from(struct heddle_task_state* state) {
  if (kind_of(state, state->saved[RDI]) != HEDDLE_STREAM || state->saved[RDX] == 0)
    return decline();
  plan(state, state->saved[RSI], state->saved[RDX], HEDDLE_EXTENT_RETURNED, 0);
  plan_address(state, state->saved[R8], state->saved[R9]);
  return receive(state, state->saved[R10]);
}

INLINE struct decision send_to(struct heddle_task_state* state) {
  const uint64_t flags = state->saved[R10];
  if (kind_of(state, state->saved[RDI]) != HEDDLE_STREAM || state->saved[RDX] == 0)
    return decline();
  state->call[4] = flags | kDontWait | kNoSignal;
  return send(state, state->saved[RDX], flags);
}

INLINE struct decision send_message(struct heddle_task_state* state) {
  const uint64_t flags = state->saved[RDX];
  if (kind_of(state, state->saved[RDI]) != HEDDLE_STREAM) return decline();
  state->call[3] = flags | kDontWait | kNoSignal;
  return send(state, ~(uint64_t)0, flags);
}

INLINE struct decision accept(struct heddle_task_state* state) {
  if (!nonblocking(state->saved[RDI])) return decline();
  plan_address(state, state->saved[RSI], state->saved[RDX]);
  return execute();
}

INLINE struct decision epoll_wait(struct heddle_task_state* state) {
  const uint64_t most = state->saved[RDX];
  if (most == 0 || most > 0x1000) return decline();
  if (state->saved[RAX] == kEpollPwait && state->saved[R8] != 0) return decline(); /* a mask */
  plan(state, state->saved[RSI], 12 * most, HEDDLE_EXTENT_COUNTED, 0);
  state->call[4] = 0;
  if ((uint32_t)state->saved[R10] != 0) state->planned.retry = kRetryZero;
  return execute();
}

/* Looked at in a copy first: one that waits must not have its results cleared. */
INLINE struct decision poll(struct heddle_task_state* state) {
  enum { kMost = 64 };
  const uint64_t count = state->saved[RSI];
  const volatile uint64_t* from = (const volatile uint64_t*)state->saved[RDI];
  if (count == 0 || count > kMost) return decline();
  if ((uint32_t)state->saved[RDX] != 0) {
    uint64_t copy[kMost];
    for (uint64_t i = 0; i < count; ++i) copy[i] = from[i];
    if (probe(kPoll, (uint64_t)copy, count, 0, 0, 0) <= 0) return wait(state);
    state->planned.retry = kRetryZero;
  }
  plan(state, state->saved[RDI], 8 * count, HEDDLE_EXTENT_FIXED, 0);
  state->call[3] = 0;
  return execute();
}

/* What is there already, and is no file that is to become empty: that may show in memory. */
INLINE struct decision open(uint64_t directory, uint64_t path, uint64_t flags) {
  enum { kTruncate = 01000 };
  uint64_t status[18];
  if (probe(kNewfstatat, directory, path, (uint64_t)status, 0, 0) < 0) return execute();
  if ((kind_by_status(status) & HEDDLE_KIND) != HEDDLE_FILE || (flags & kTruncate))
    return decline();
  return execute();
}

INLINE struct decision fcntl(const struct heddle_task_state* state) {
  switch (state->saved[RSI]) {
    case 0: /* F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC */
    case 1:
    case 2:
    case 3:
    case 4:
    case 1030:
      return execute();
    default:
      return decline();
  }
}

/* The commands that programs ask of every descriptor; none waits. Sizes as in syscalls/ioctl.cpp.
 */
INLINE struct decision ioctl(struct heddle_task_state* state) {
  uint64_t size;
  switch ((uint32_t)state->saved[RSI]) {
    case 0x5401: /* TCGETS */
      size = 36;
      break;
    case 0x5413: /* TIOCGWINSZ */
      size = 8;
      break;
    case 0x540f: /* TIOCGPGRP */
    case 0x541b: /* FIONREAD */
      size = 4;
      break;
    case 0x5421: /* FIONBIO */
    case 0x5450: /* FIONCLEX */
    case 0x5451: /* FIOCLEX */
      return execute();
    default:
      return decline();
  }
  plan(state, state->saved[RDX], size, HEDDLE_EXTENT_FIXED, 0);
  return execute();
}

INLINE struct decision plain(struct heddle_task_state* state, const struct heddle_served* served) {
  for (unsigned i = 0; i < 2; ++i) {
    const struct heddle_served_output* output = &served->output[i];
    if (output->how == HEDDLE_EXTENT_NONE) continue;
    const uint64_t address = argument(state, output->argument);
    if (output->how == HEDDLE_EXTENT_ADDRESS)
      plan_address(state, address, argument(state, output->other));
    else if (output->how == HEDDLE_EXTENT_RETURNED)
      plan(state, address, argument(state, output->other), HEDDLE_EXTENT_RETURNED, 0);
    else
      plan(state, address, output->unit, HEDDLE_EXTENT_FIXED, 0);
  }
  return execute();
}

/* What the clock showed is written when the call is answered. */
INLINE struct decision read_clock(struct heddle_task_state* state, int failed) {
  if (failed) return execute();
  state->planned.answer_size = 16; /* struct timespec, struct timeval */
  return (struct decision){kAnswer, 0};
}

/* The vDSO reads these without the kernel (vdso(7), clock_gettime(2)); it changes nothing. */
INLINE struct decision clock(struct heddle_task_state* state) {
  enum { kReal = 0, kMonotonic = 1, kRealCoarse = 5, kMonotonicCoarse = 6, kBoot = 7 };
  enum {
    kRead = 1 << kReal | 1 << kMonotonic | 1 << kRealCoarse | 1 << kMonotonicCoarse | 1 << kBoot
  };
  const uint64_t id = state->saved[RDI];
  plan(state, state->saved[RSI], 16, HEDDLE_EXTENT_FIXED, 0);
  int (*read)(int64_t, uint64_t*) = data_of(state)->clock_gettime;
  if (!read || id > kBoot || !(kRead >> id & 1) || state->planned.count == 0) return execute();
  return read_clock(state, read((int64_t)id, state->planned.answer));
}

INLINE struct decision time_of_day(struct heddle_task_state* state) {
  plan(state, state->saved[RDI], 16, HEDDLE_EXTENT_FIXED, 0);
  plan(state, state->saved[RSI], 8, HEDDLE_EXTENT_FIXED, 0);
  int (*read)(uint64_t*, void*) = data_of(state)->gettimeofday;
  if (!read || state->saved[RDI] == 0 || state->saved[RSI] != 0) return execute();
  return read_clock(state, read(state->planned.answer, 0));
}

/* Is the call to be made again by the supervisor? */
INLINE int leave(struct heddle_task_state* state, int64_t result) {
  const uint32_t retry = state->planned.retry;
  const uint64_t descriptor = state->saved[RDI];
  switch (result) {
    case 0:
      return (retry & kRetryZero) && would_wait(state);
    case -kAgain:
      return (retry & kRetryWait) && !nonblocking(descriptor) && would_wait(state);
    case -kFault: /* how much was written is the supervisor's to find out */
      return 1;
    case -kPipe:
      return retry & kRetrySignal;
    case -kNotPermitted: /* a seccomp filter may know the program's call, but not ours in its place
                          */
      if (state->call[0] == state->saved[RAX]) return 0;
      learn(state, descriptor, HEDDLE_OTHER);
      return 1;
    case -kUnsupported:
    case -kNoSystemCall:
      if (!(retry & kRetryUnsupported)) return 0;
      learn(state, descriptor, HEDDLE_OTHER);
      return 1;
    default:
      return 0;
  }
}

#endif
