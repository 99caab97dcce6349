/* Serves system calls in the tracee. docs/architecture.md draws the protocol; the pieces below lie
 * in memory in its order, so that a pc tells how far a call has come.
 *
 * Freestanding: copied out of heddle's own image to another address of another process. It calls
 * nothing, has neither data nor relocations, and touches no registers but the general ones.
 * Everything is in the section heddle_runtime, in the order of this file (-fno-toplevel-reorder).
 *
 * ABI facts: a system call clobbers rcx and r11 alone (System V ABI, x86-64 supplement, A.2.1);
 * numbers and structures are those of Linux's uapi/asm/unistd_64.h, linux/futex.h, linux/time.h. */
#include "machine/runtime/task_state.h"
#include "trace_format/syscall_log.h"

#define IN_ORDER __attribute__((section("heddle_runtime"), used, noinline, visibility("hidden")))
#define CODE(text) \
  __asm__(".pushsection heddle_runtime, \"ax\", @progbits\n" text "\n.popsection\n");
#define LABEL(name) ".globl " name "\n.hidden " name "\n" name ":\n"

/* The numbers are offsets in heddle_task_state (runtime.cpp asserts them): saved[] is at 0x90 in
 * the hardware's register order, the flags at 0x120. */
#define SAVE_REGISTERS                                                \
  "mov %rax, %gs:0x90\n  mov %rcx, %gs:0x98\n  mov %rdx, %gs:0xa0\n"  \
  "mov %rbx, %gs:0xa8\n  mov %rsp, %gs:0xb0\n  mov %rbp, %gs:0xb8\n"  \
  "mov %rsi, %gs:0xc0\n  mov %rdi, %gs:0xc8\n  mov %r8, %gs:0xd0\n"   \
  "mov %r9, %gs:0xd8\n   mov %r10, %gs:0xe0\n  mov %r11, %gs:0xe8\n"  \
  "mov %r12, %gs:0xf0\n  mov %r13, %gs:0xf8\n  mov %r14, %gs:0x100\n" \
  "mov %r15, %gs:0x108\n"
#define RESTORE_REGISTERS                                             \
  "pushq %gs:0x120\n     popfq\n"                                     \
  "mov %gs:0x90, %rax\n  mov %gs:0x98, %rcx\n  mov %gs:0xa0, %rdx\n"  \
  "mov %gs:0xa8, %rbx\n  mov %gs:0xb8, %rbp\n  mov %gs:0xc0, %rsi\n"  \
  "mov %gs:0xc8, %rdi\n  mov %gs:0xd0, %r8\n   mov %gs:0xd8, %r9\n"   \
  "mov %gs:0xe0, %r10\n  mov %gs:0xe8, %r11\n  mov %gs:0xf0, %r12\n"  \
  "mov %gs:0xf8, %r13\n  mov %gs:0x100, %r14\n mov %gs:0x108, %r15\n" \
  "mov %gs:0xb0, %rsp\n"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 }; /* indexes of saved[] */

enum { kGettimeofday = 96, kTime = 201, kFutex = 202, kClockGettime = 228 };
enum { kFutexWait = 0, kFutexWake = 1, kFutexWaitBitset = 9, kFutexWakeBitset = 10 };
enum { kFutexPrivate = 128, kFutexClockRealtime = 256 };
enum { kAgain = 11 };
enum { kTrapAndResumeFlags = 0x10100 };

/* What prepare() found, in rax and rdx. */
enum { kDecline = 0, kExecute = 1, kAnswer = 2 };
struct decision {
  uint64_t act;
  int64_t result; /* kAnswer: the call's */
};
/* The store that commits, in rax and rdx. */
struct commit {
  uint64_t value;
  uint64_t* where;
};

static inline struct decision decline(void) {
  return (struct decision){kDecline, 0};
}

static inline struct heddle_log_entry* entries(struct heddle_log* log) {
  return (struct heddle_log_entry*)(log + 1);
}

static inline uint64_t ticks(void) {
  return (uint64_t)(HEDDLE_HOT_STATE->ticks_granted - HEDDLE_HOT_STATE->ticks_left);
}

/* ------------------------------------------------------------------ before: arriving, deciding */

CODE(LABEL("heddle_runtime_entry") SAVE_REGISTERS
     "mov %gs:0x110, %rsp\n" /* host_stack_top: nothing is written below the guest's rsp */
     LABEL("heddle_runtime_saved")
     "pushfq\n"
     "popq %gs:0x120\n"
     LABEL("heddle_runtime_flags_saved")
     "cld\n"
     "mov %gs:0x00, %rdi\n"
     "call heddle_runtime_prepare\n"
     "mov %gs:0x00, %rbx\n"
     "cmp $1, %rax\n"
     "jb heddle_runtime_declined\n"
     "ja heddle_runtime_answered\n"
     "mov %gs:0xc8, %rdi\n  mov %gs:0xc0, %rsi\n  mov %gs:0xa0, %rdx\n"
     "mov %gs:0xe0, %r10\n  mov %gs:0xd0, %r8\n   mov %gs:0xd8, %r9\n"
     "mov %gs:0x90, %rax\n"
     "jmp heddle_runtime_at\n"
     "heddle_runtime_declined:\n" RESTORE_REGISTERS
     "jmp *%gs:0x68\n") /* syscall_stop */

/* A wait on a word that has another value already ends at once; any other may sleep. The guest's
 * memory is read as the kernel would read it: a fault takes the call back to the supervisor. */
static inline struct decision futex(const struct heddle_task_state* state) {
  const uint32_t operation = (uint32_t)state->saved[RSI];
  const uint32_t command = operation & ~(uint32_t)(kFutexPrivate | kFutexClockRealtime);
  if (command == kFutexWake || command == kFutexWakeBitset) return (struct decision){kExecute, 0};
  if (command != kFutexWait && command != kFutexWaitBitset) return decline();
  if (command == kFutexWait && (operation & kFutexClockRealtime)) return decline();
  if (command == kFutexWaitBitset && (uint32_t)state->saved[R9] == 0) return decline();
  if (state->saved[RDI] % 4 != 0) return decline();
  if (state->saved[R10] != 0) {
    const volatile int64_t* timeout = (const volatile int64_t*)state->saved[R10];
    const int64_t seconds = timeout[0], nanoseconds = timeout[1];
    if (seconds < 0 || nanoseconds < 0 || nanoseconds >= 1000000000) return decline();
  }
  const uint32_t word = *(const volatile uint32_t*)state->saved[RDI];
  if (word == (uint32_t)state->saved[RDX]) return decline();
  return (struct decision){kAnswer, -kAgain};
}

/* Writes to what the kernel is about to: where the guest's protection lets it but the machine's
 * does not, since it watches code there, a fault tells the supervisor, and the kernel would answer
 * EFAULT. The buffer is smaller than a page. */
static inline void touch(uint64_t address, uint32_t size) {
  volatile uint8_t* first = (volatile uint8_t*)address;
  volatile uint8_t* last = first + size - 1;
  *first = *first;
  *last = *last;
}

static inline struct decision record(struct heddle_task_state* state, struct heddle_log* log) {
  const uint32_t used = (uint32_t)log->used;
  if (state->calls_left == 0 || used >= log->capacity) return decline();
  const uint64_t number = state->saved[RAX];
  struct decision decision = {kExecute, 0};
  uint64_t address = 0;
  uint32_t size = 16; /* of struct timespec and struct timeval */
  if (number == kClockGettime) {
    address = state->saved[RSI];
  } else if (number == kFutex) {
    decision = futex(state);
  } else if (number == kGettimeofday) {
    if (state->saved[RSI] != 0) return decline();
    address = state->saved[RDI];
  } else if (number == kTime) {
    address = state->saved[RDI];
    size = 8;
  } else {
    return decline();
  }
  if (decision.act == kDecline) return decline();
  if (address != 0) touch(address, size);
  --state->calls_left;
  struct heddle_log_entry* entry = entries(log) + used;
  entry->ticks = ticks();
  entry->pc = state->syscall_pc;
  entry->task = (uint32_t)state->task;
  entry->number = (uint32_t)number;
  entry->arguments[0] = state->saved[RDI];
  entry->arguments[1] = state->saved[RSI];
  entry->arguments[2] = state->saved[RDX];
  entry->arguments[3] = state->saved[R10];
  entry->arguments[4] = state->saved[R8];
  entry->arguments[5] = state->saved[R9];
  entry->effect_address = address;
  entry->effect_size = address != 0 ? size : 0;
  entry->reserved = 0;
  entry->reserved_too = 0;
  return decision;
}

static inline struct decision replay(const struct heddle_task_state* state,
                                     struct heddle_log* log) {
  if (log->served >= (uint32_t)log->used) return decline();
  const struct heddle_log_entry* entry = entries(log) + log->served;
  if (entry->number != state->saved[RAX] || entry->ticks != ticks() ||
      entry->pc != state->syscall_pc || entry->task != state->task ||
      entry->arguments[0] != state->saved[RDI] || entry->arguments[1] != state->saved[RSI] ||
      entry->arguments[2] != state->saved[RDX] || entry->arguments[3] != state->saved[R10] ||
      entry->arguments[4] != state->saved[R8] || entry->arguments[5] != state->saved[R9])
    return decline();
  volatile uint8_t* to = (volatile uint8_t*)entry->effect_address;
  for (uint32_t i = 0; i < entry->effect_size; ++i) to[i] = entry->effect[i];
  return (struct decision){kAnswer, entry->result};
}

IN_ORDER struct decision heddle_runtime_prepare(struct heddle_task_state* state) {
  struct heddle_log* log = (struct heddle_log*)state->log;
  return log->mode == HEDDLE_LOG_REPLAY ? replay(state, log) : record(state, log);
}

/* ------------------------------------------------------------------ at; after, not committed */

CODE(LABEL("heddle_runtime_at")
     "syscall\n"
     LABEL("heddle_runtime_called")
     "mov %rax, %rdx\n"
     "heddle_runtime_answered:\n"
     "mov %rdx, %rsi\n"
     "mov %rbx, %rdi\n"
     "call heddle_runtime_finish\n"
     "jmp heddle_runtime_commit\n")

IN_ORDER struct commit heddle_runtime_finish(struct heddle_task_state* state, int64_t result) {
  state->saved[RAX] = (uint64_t)result;
  state->saved[RCX] = state->syscall_pc + 2;
  state->saved[R11] = state->saved_flags & ~(uint64_t)kTrapAndResumeFlags;
  struct heddle_log* log = (struct heddle_log*)state->log;
  if (log->mode == HEDDLE_LOG_REPLAY) return (struct commit){log->served + 1, &log->served};
  const uint32_t used = (uint32_t)log->used;
  struct heddle_log_entry* entry = entries(log) + used;
  entry->result = result;
  const uint32_t size = result < 0 ? 0 : entry->effect_size;
  if (size == 0) entry->effect_address = 0;
  entry->effect_size = size;
  const volatile uint64_t* from = (const volatile uint64_t*)entry->effect_address;
  const uint64_t effect[2] = {size >= 8 ? from[0] : 0, size == 16 ? from[1] : 0};
  __builtin_memcpy(&entry->effect[0], &effect[0], 8);
  __builtin_memcpy(&entry->effect[8], &effect[1], 8);
  entry->check = heddle_log_check(entry, log->first_event + used);
  return (struct commit){heddle_log_count(used + 1), &log->used};
}

/* ------------------------------------------------------------------ committed */

CODE(
    "heddle_runtime_commit:\n"
    "mov %rax, (%rdx)\n" LABEL("heddle_runtime_committed") RESTORE_REGISTERS
    "jmp *%gs:0x60\n" /* syscall_return */
    LABEL("heddle_runtime_end"))
