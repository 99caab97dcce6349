/* Calls on dispositions, the signal mask and the alternate stack: part of runtime.c; recording.
 *
 * The kernel has the guest's dispositions, but those of the signals that instructions raise, which
 * are the machine's, and the guest's mask without them. The supervisor follows what is logged
 * before it delivers anything (SignalState::follow); where it holds a signal already it makes the
 * call itself (heddle_task_state::signals). */
#ifndef HEDDLE_MACHINE_RUNTIME_SIGNAL_CALLS_H
#define HEDDLE_MACHINE_RUNTIME_SIGNAL_CALLS_H

#include "machine/runtime/deciding.h"
#include "machine/runtime/served_calls.h"
#include "machine/runtime/task_state.h"

enum { kSigprocmask = 14, kSigaltstack = 131 };
enum {
  kSignalSetSize = 8,
  kActionSize = 32,
  kStackSize = 24
}; /* bytes of the kernel's structures */

#define SIGNAL_BIT(number) ((uint64_t)1 << ((number)-1))
/* SIGKILL, SIGSTOP; SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV. */
#define UNBLOCKABLE_SIGNALS (SIGNAL_BIT(9) | SIGNAL_BIT(19))
#define SYNCHRONOUS_SIGNALS \
  (SIGNAL_BIT(4) | SIGNAL_BIT(5) | SIGNAL_BIT(7) | SIGNAL_BIT(8) | SIGNAL_BIT(11))

/* Reads what the call takes, which is logged with it. */
INLINE void take(struct heddle_task_state* state, uint64_t address, uint64_t size) {
  state->planned.taken_at = address;
  state->planned.taken_size = size;
  for (uint64_t i = 0; i < size / 8; ++i)
    state->planned.taken[i] = ((const volatile uint64_t*)address)[i];
}

INLINE struct decision set_action(struct heddle_task_state* state) {
  const uint32_t signal = (uint32_t)argument(state, 0);
  if (!state->signals || argument(state, 3) != kSignalSetSize) return decline();
  if (signal < 1 || signal > 64 || (SIGNAL_BIT(signal) & SYNCHRONOUS_SIGNALS)) return decline();
  if (argument(state, 1) != 0) {
    if (SIGNAL_BIT(signal) & UNBLOCKABLE_SIGNALS) return decline();
    take(state, argument(state, 1), kActionSize);
  }
  plan(state, argument(state, 2), kActionSize, HEDDLE_EXTENT_FIXED, 0);
  return execute();
}

INLINE struct decision change_mask(struct heddle_task_state* state) {
  enum { kBlock = 0, kUnblock = 1, kSetMask = 2 };
  if (!state->signals || argument(state, 3) != kSignalSetSize) return decline();
  const uint64_t old = state->blocked;
  uint64_t now = old;
  if (argument(state, 1) != 0) {
    take(state, argument(state, 1), kSignalSetSize);
    const uint64_t set = state->planned.taken[0];
    switch ((uint32_t)argument(state, 0)) {
      case kBlock:
        now = old | set;
        break;
      case kUnblock:
        now = old & ~set;
        break;
      case kSetMask:
        now = set;
        break;
      default:
        return decline();
    }
    now &= ~UNBLOCKABLE_SIGNALS;
  }
  plan(state, argument(state, 2), kSignalSetSize, HEDDLE_EXTENT_FIXED, 0);
  state->planned.answer[0] = old;
  state->planned.answer_size = kSignalSetSize;
  state->planned.signals[0] = now;
  if (((old ^ now) & ~SYNCHRONOUS_SIGNALS) == 0) return (struct decision){kAnswer, 0};
  state->planned.part[0] = now & ~SYNCHRONOUS_SIGNALS;
  state->call[1] = kSetMask;
  state->call[2] = (uint64_t)state->planned.part;
  state->call[3] = 0;
  return execute();
}

INLINE struct decision change_stack(struct heddle_task_state* state) {
  enum { kOnStack = 1, kDisable = 2, kLeast = 2048 /* MINSIGSTKSZ */ };
  const uint32_t kAutoDisarm = 0x80000000u;
  const uint64_t rsp = state->saved[RSP], *stack = state->stack;
  uint64_t* now = state->planned.signals;
  if (!state->signals) return decline();
  const uint32_t disarms = (uint32_t)stack[1] & kAutoDisarm;
  const int on = rsp > stack[0] && rsp - stack[0] <= stack[2] && !disarms;
  for (unsigned i = 0; i < 3; ++i) now[i] = stack[i];
  if (argument(state, 0) != 0) {
    if (on) return decline();
    take(state, argument(state, 0), kStackSize);
    const uint64_t* wanted = state->planned.taken;
    const uint32_t flags = (uint32_t)wanted[1], mode = flags & ~kAutoDisarm;
    if (mode != 0 && mode != kOnStack && mode != kDisable) return decline();
    if (mode != kDisable && wanted[2] < kLeast) return decline();
    now[0] = mode == kDisable ? 0 : wanted[0];
    now[1] = flags;
    now[2] = mode == kDisable ? 0 : wanted[2];
  }
  plan(state, argument(state, 1), kStackSize, HEDDLE_EXTENT_FIXED, 0);
  state->planned.answer[0] = stack[0];
  state->planned.answer[1] = (stack[2] == 0 ? (uint32_t)kDisable
                              : on          ? (uint32_t)kOnStack
                                            : 0u) |
                             disarms;
  state->planned.answer[2] = stack[2];
  state->planned.answer_size = kStackSize;
  return (struct decision){kAnswer, 0};
}

/* After a call that was made or answered. */
INLINE void follow_signals(struct heddle_task_state* state, int64_t result) {
  if (result != 0) return;
  if (state->saved[RAX] == kSigprocmask) {
    state->blocked = state->planned.signals[0];
  } else if (state->saved[RAX] == kSigaltstack) {
    for (unsigned i = 0; i < 3; ++i) state->stack[i] = state->planned.signals[i];
  }
}

#endif
