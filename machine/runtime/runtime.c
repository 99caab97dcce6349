/* Serves system calls in the tracee. docs/architecture.md draws the protocol; the pieces below lie
 * in memory in its order, so that a pc tells how far a call has come.
 *
 * Freestanding: copied out of heddle's own image to another address of another process. It calls
 * nothing, has neither data nor relocations, and touches no registers but the general ones.
 * Everything is in the section heddle_runtime, in the order of this file (-fno-toplevel-reorder).
 *
 * ABI facts: a system call clobbers rcx and r11 alone (System V ABI, x86-64 supplement, A.2.1);
 * numbers and structures are those of Linux's uapi/asm/unistd_64.h, linux/futex.h, linux/time.h. */
#include "machine/runtime/deciding.h"
#include "machine/runtime/plain_memory.h"
#include "machine/runtime/signal_calls.h"
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

enum { kTrapAndResumeFlags = 0x10100 };

/* The store that commits, in rax and rdx; `where` is null where the call is declined after all. */
struct commit {
  uint64_t value;
  uint64_t* where;
};

INLINE struct heddle_log_entry* entry_at(struct heddle_log* log, uint64_t offset) {
  return (struct heddle_log_entry*)((uint8_t*)(log + 1) + offset);
}

/* The one in use. */
INLINE struct heddle_log* log_of(const struct heddle_task_state* state) {
  const struct heddle_log* first = (const struct heddle_log*)state->log;
  return (struct heddle_log*)(state->log + first->in_use);
}

INLINE uint64_t ticks(void) {
  int64_t now = HEDDLE_HOT_STATE->ticks_granted - HEDDLE_HOT_STATE->ticks_left;
  for (int i = 0; i < HEDDLE_COUNTERS - 1; ++i) now -= HEDDLE_HOT_STATE->ticks_more[i];
  return (uint64_t)now;
}

INLINE void copy(volatile uint8_t* to, const volatile uint8_t* from, uint64_t size) {
  if (size > 128) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return;
  }
  for (; size >= 8; to += 8, from += 8, size -= 8)
    *(volatile uint64_t*)to = *(const volatile uint64_t*)from;
  for (; size > 0; ++to, ++from, --size) *to = *from;
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
     "mov %gs:0x138, %rdi\n mov %gs:0x140, %rsi\n mov %gs:0x148, %rdx\n"
     "mov %gs:0x150, %r10\n mov %gs:0x158, %r8\n  mov %gs:0x160, %r9\n"
     "mov %gs:0x130, %rax\n" /* call[] */
     "jmp heddle_runtime_at\n"
     "heddle_runtime_declined:\n" RESTORE_REGISTERS
     "jmp *%gs:0x68\n") /* syscall_stop */

/* Writes to what the kernel is about to: where the guest's protection lets it but the machine's
 * does not, since it watches code there, a fault tells the supervisor, and the kernel would answer
 * EFAULT. */
INLINE void touch(const struct heddle_planned_effect* effect) {
  const uint64_t last = effect->address + effect->room - 1;
  for (uint64_t at = effect->address; at < last; at = (at | 0xfff) + 1) {
    volatile uint8_t* byte = (volatile uint8_t*)at;
    *byte = *byte;
  }
  volatile uint8_t* byte = (volatile uint8_t*)last;
  *byte = *byte;
}

/* Decides on the call in saved[]: what the kernel is given goes to call[], what it may write to
 * `planned`. */
INLINE struct decision decide(struct heddle_task_state* state) {
  const uint64_t number = state->saved[RAX];
  if (number >= HEDDLE_SERVED_CALLS) return decline();
  const struct heddle_served* served = &data_of(state)->served[number];
  if (served->family == HEDDLE_DECLINED) return decline();
  state->call[0] = number;
  for (unsigned i = 0; i < 6; ++i) state->call[1 + i] = argument(state, i);
  state->planned.count = 0;
  state->planned.retry = 0;
  state->planned.answer_size = 0;
  state->planned.taken_size = 0;
  if (served->forgets != 0) {
    const uint64_t descriptor = argument(state, served->forgets - 1u);
    if (descriptor >= HEDDLE_DESCRIPTORS) return decline();
    data_of(state)->descriptors[descriptor] = HEDDLE_UNKNOWN;
  }
  switch (served->family) {
    case HEDDLE_PLAIN:
      return plain(state, served);
    case HEDDLE_FUTEX:
      return futex(state);
    case HEDDLE_READ:
      return read_one(state);
    case HEDDLE_READV:
      return read_parts(state);
    case HEDDLE_PREAD:
      if ((kind_of(state, state->saved[RDI]) & HEDDLE_KIND) != HEDDLE_FILE) return decline();
      plan(state, state->saved[RSI], state->saved[RDX], HEDDLE_EXTENT_RETURNED, 0);
      return execute();
    case HEDDLE_WRITE:
      return write_one(state);
    case HEDDLE_WRITEV:
      return write_parts(state);
    case HEDDLE_PWRITE:
      return kind_of(state, state->saved[RDI]) == (HEDDLE_FILE | HEDDLE_WRITES) ? execute()
                                                                                : decline();
    case HEDDLE_RECVFROM:
      return receive_from(state);
    case HEDDLE_SENDTO:
      return send_to(state);
    case HEDDLE_SENDMSG:
      return send_message(state);
    case HEDDLE_ACCEPT:
      return accept(state);
    case HEDDLE_EPOLL_WAIT:
      return epoll_wait(state);
    case HEDDLE_POLL:
      return poll(state);
    case HEDDLE_OPEN:
      return open((uint64_t)-100, state->saved[RDI], state->saved[RSI]);
    case HEDDLE_OPENAT:
      return open(state->saved[RDI], state->saved[RSI], state->saved[RDX]);
    case HEDDLE_FCNTL:
      return fcntl(state);
    case HEDDLE_MMAP:
      return map(state);
    case HEDDLE_PLAIN_MEMORY:
      return change_plain(state);
    case HEDDLE_IOCTL:
      return ioctl(state);
    case HEDDLE_CLOCK:
      return clock(state);
    case HEDDLE_TIME_OF_DAY:
      return time_of_day(state);
    case HEDDLE_SIGACTION:
      return set_action(state);
    case HEDDLE_SIGPROCMASK:
      return change_mask(state);
    case HEDDLE_SIGALTSTACK:
      return change_stack(state);
    default:
      return decline();
  }
}

INLINE struct decision record(struct heddle_task_state* state, const struct heddle_log* log) {
  state->planned.left = HEDDLE_LEFT_FULL;
  if (state->calls_left == 0) return decline();
  state->planned.left = HEDDLE_LEFT_KIND;
  const struct decision decision = decide(state);
  if (decision.act == kDecline) return decision;
  uint64_t size = sizeof(struct heddle_log_entry) + 2 * sizeof(struct heddle_log_effect) +
                  state->planned.taken_size;
  for (uint32_t i = 0; i < state->planned.count; ++i)
    size += sizeof(struct heddle_log_effect) + 8 + state->planned.effects[i].room;
  if (size > log->capacity - (uint32_t)log->used) {
    state->planned.left = HEDDLE_LEFT_FULL;
    return decline();
  }
  for (uint32_t i = 0; i < state->planned.count; ++i) touch(&state->planned.effects[i]);
  --state->calls_left;
  state->planned.ticks = ticks();
  return decision;
}

/* Where they were recorded, as the first effect. Flags that nobody reads may differ: those that
 * somebody does show in what follows. */
INLINE int same_registers(const struct heddle_task_state* state,
                          const struct heddle_log_entry* entry) {
  const struct heddle_log_effect* effect = (const struct heddle_log_effect*)(entry + 1);
  if (entry->effects == 0 || effect->kind != HEDDLE_EFFECT_REGISTERS) return 1;
  enum { kGeneral = 16, kFsBase = 18 };
  const uint64_t* recorded = (const uint64_t*)(effect + 1);
  for (unsigned i = 0; i < kGeneral; ++i)
    if (recorded[i] != state->saved[i]) return 0;
  return recorded[kFsBase] == state->fs_base;
}

/* Of what the call took. */
INLINE uint64_t given(const struct heddle_task_state* state, int64_t result) {
  return heddle_given((const uint8_t*)argument(state, 1), (uint64_t)result);
}

/* Of 8 bytes and more. */
INLINE int same(const uint8_t* bytes, const uint8_t* guest, uint64_t size) {
  for (uint64_t i = 0; i + 8 <= size; i += 8)
    if (*(const uint64_t*)(bytes + i) != *(const volatile uint64_t*)(guest + i)) return 0;
  return 1;
}

INLINE struct decision replay(struct heddle_task_state* state, struct heddle_log* log) {
  state->planned.performs = 0;
  if (log->served >= (uint32_t)log->used) return decline();
  struct heddle_log_entry* entry = entry_at(log, log->served);
  if (entry->number != state->saved[RAX] || entry->ticks != ticks() ||
      entry->pc != state->syscall_pc || entry->task != state->task)
    return decline();
  for (unsigned i = 0; i < 6; ++i)
    if (entry->arguments[i] != argument(state, i)) return decline();
  if (!same_registers(state, entry)) return decline();
  struct heddle_log_effect* effect = (struct heddle_log_effect*)(entry + 1);
  for (uint32_t i = 0; i < entry->effects; ++i) {
    uint8_t* bytes = (uint8_t*)(effect + 1);
    uint8_t* guest = (uint8_t*)effect->address;
    if (effect->kind == HEDDLE_EFFECT_SHOWN)
      copy(bytes, guest, effect->size);
    else if (effect->kind == HEDDLE_EFFECT_WRITTEN)
      copy(guest, bytes, effect->size);
    else if (effect->kind == HEDDLE_EFFECT_GIVEN && effect->address != given(state, entry->result))
      return decline();
    else if (effect->kind == HEDDLE_EFFECT_TAKEN && !same(bytes, guest, effect->size))
      return decline();
    effect = (struct heddle_log_effect*)((uint8_t*)effect + heddle_effect_size(effect->size));
  }
  return perform(state, entry);
}

IN_ORDER struct decision heddle_runtime_prepare(struct heddle_task_state* state) {
  struct heddle_log* log = log_of(state);
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
     "test %rdx, %rdx\n"
     "jz heddle_runtime_declined\n"
     "jmp heddle_runtime_commit\n")

/* Bytes that the effect has, of those of the result that are `left`. */
INLINE uint64_t written(const struct heddle_planned_effect* effect, int64_t result, uint64_t left) {
  uint64_t size = effect->room;
  if (effect->how == HEDDLE_EXTENT_RETURNED) size = left;
  if (effect->how == HEDDLE_EXTENT_COUNTED) size = 12 * (uint64_t)result;
  if (effect->how == HEDDLE_EXTENT_ADDRESS) size = *(const volatile uint32_t*)effect->length;
  return size < effect->room ? size : effect->room;
}

/* Two fields by one store: the check loads them as one word, which a processor cannot take out of
 * two stores that are under way yet. */
INLINE void store_pair(uint32_t* fields, uint64_t first, uint64_t second) {
  *(uint64_t*)fields = (uint32_t)first | second << 32;
}

INLINE void log_effects(const struct heddle_task_state* state, struct heddle_log_entry* entry) {
  uint8_t* at = (uint8_t*)(entry + 1);
  uint64_t left = entry->result < 0 ? 0 : (uint64_t)entry->result;
  const uint32_t planned = entry->result < 0 ? 0 : state->planned.count;
  uint32_t effects = 0;
  if (state->planned.taken_size != 0) {
    struct heddle_log_effect* logged = (struct heddle_log_effect*)at;
    at += heddle_effect_size((uint32_t)state->planned.taken_size);
    logged->address = state->planned.taken_at;
    store_pair(&logged->size, state->planned.taken_size, HEDDLE_EFFECT_TAKEN);
    copy((uint8_t*)(logged + 1), (const uint8_t*)state->planned.taken, state->planned.taken_size);
    ++effects;
  }
  for (uint32_t i = 0; i < planned; ++i) {
    const struct heddle_planned_effect* effect = &state->planned.effects[i];
    const uint64_t size = written(effect, entry->result, left);
    if (effect->how == HEDDLE_EXTENT_RETURNED) left -= size;
    if (size == 0) continue;
    struct heddle_log_effect* logged = (struct heddle_log_effect*)at;
    at += heddle_effect_size((uint32_t)size);
    *(uint64_t*)(at - 8) = 0;
    logged->address = effect->address;
    store_pair(&logged->size, size, HEDDLE_EFFECT_WRITTEN);
    copy((uint8_t*)(logged + 1), (const uint8_t*)effect->address, size);
    ++effects;
  }
  if (entry->result > 0 && heddle_takes_bytes(entry->number)) {
    struct heddle_log_effect* logged = (struct heddle_log_effect*)at;
    at += heddle_effect_size(0);
    logged->address = given(state, entry->result);
    store_pair(&logged->size, 0, HEDDLE_EFFECT_GIVEN);
    ++effects;
  }
  store_pair(&entry->size, (uint64_t)(at - (uint8_t*)entry), effects);
}

IN_ORDER struct commit heddle_runtime_finish(struct heddle_task_state* state, int64_t result) {
  struct heddle_log* log = log_of(state);
  const int replays = log->mode == HEDDLE_LOG_REPLAY;
  if (!replays && leave(state, result)) return (struct commit){0, 0};
  struct commit commit;
  if (replays) {
    const struct heddle_log_entry* entry = entry_at(log, log->served);
    /* What could not be done again is not answered: there the run differs. */
    if (state->planned.performs && (uint64_t)result != state->planned.expected)
      return (struct commit){0, 0};
    result = entry->result;
    if (entry->number == kBrk) data_of(state)->brk = (uint64_t)result;
    commit = (struct commit){log->served + entry->size, &log->served};
  } else {
    const uint32_t used = (uint32_t)log->used;
    struct heddle_log_entry* entry = entry_at(log, used);
    entry->ticks = state->planned.ticks;
    entry->pc = state->syscall_pc;
    store_pair(&entry->task, state->task, state->saved[RAX]);
    for (unsigned i = 0; i < 6; ++i) entry->arguments[i] = argument(state, i);
    entry->result = result;
    if (result >= 0 && state->planned.answer_size != 0 && state->planned.count != 0)
      copy((uint8_t*)state->planned.effects[0].address, (const uint8_t*)state->planned.answer,
           state->planned.answer_size);
    log_effects(state, entry);
    follow_plain(state, result);
    follow_signals(state, result);
    log->taken += state->planned.taken_size != 0;
    entry->check = heddle_log_check(entry, log->first_event, used);
    ++log->calls;
    commit = (struct commit){heddle_log_count(used + entry->size), &log->used};
  }
  state->saved[RAX] = (uint64_t)result;
  state->saved[RCX] = state->syscall_pc + 2;
  state->saved[R11] = state->saved_flags & ~(uint64_t)kTrapAndResumeFlags;
  return commit;
}

/* ------------------------------------------------------------------ committed */

CODE(
    "heddle_runtime_commit:\n"
    "mov %rax, (%rdx)\n" LABEL("heddle_runtime_committed") RESTORE_REGISTERS
    "jmp *%gs:0x60\n" /* syscall_return */
    LABEL("heddle_runtime_end"))
