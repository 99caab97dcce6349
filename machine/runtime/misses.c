/* Where translated code goes that has no translation to go to, or comes to a cpuid instruction or
 * the end of a counter. A miss asks the thread of the supervisor
 * that watches the hot state, and stops for the supervisor itself if that does not answer.
 *
 * Freestanding, like runtime.c: copied to layout::kMissCode of another process. No register but
 * rcx, which is put back, and no flag changes while a task waits; nothing is written but the hot
 * state. The numbers are offsets in heddle_hot_state from HEDDLE_HOT_STATE, and in
 * heddle_task_state (runtime.cpp asserts them). */
#include "machine/runtime/task_state.h"

__asm__(
    ".pushsection heddle_runtime_misses, \"ax\", @progbits\n"
    /* An indirect transfer: its target is in r11. */
    ".globl heddle_runtime_lookup_miss\n"
    ".hidden heddle_runtime_lookup_miss\n"
    "heddle_runtime_lookup_miss:\n"
    "mov %r11, 0x70000070\n" /* miss_target */
    "movq $1, 0x70000040\n"  /* miss_request: HEDDLE_MISS_LOOKUP */
    "jmp heddle_runtime_link_miss\n"
    /* A return: the same. */
    ".globl heddle_runtime_return_miss\n"
    ".hidden heddle_runtime_return_miss\n"
    "heddle_runtime_return_miss:\n"
    "mov %r11, 0x70000070\n"
    "movq $2, 0x70000040\n" /* HEDDLE_MISS_RETURN */
    /* A direct one: its stub has made the request. */
    ".globl heddle_runtime_link_miss\n"
    ".hidden heddle_runtime_link_miss\n"
    "heddle_runtime_link_miss:\n"
    "mov %rcx, 0x70000050\n"    /* miss_rcx */
    "movq $4000, 0x70000058\n"  /* miss_turns */
    "1: mov 0x70000048, %rcx\n" /* miss_answer */
    "jrcxz 2f\n"
    "mov %rcx, 0x70000068\n" /* miss_jump */
    "movq $0, 0x70000048\n"
    "mov 0x70000050, %rcx\n"
    "jmp *0x70000068\n"
    "2: mov 0x70000060, %rcx\n" /* miss_watched */
    "jrcxz heddle_runtime_miss_stop\n"
    "pause\n"
    "mov 0x70000058, %rcx\n"
    "lea -1(%rcx), %rcx\n"
    "mov %rcx, 0x70000058\n"
    "jrcxz heddle_runtime_miss_stop\n"
    "jmp 1b\n"
    ".globl heddle_runtime_miss_stop\n"
    ".hidden heddle_runtime_miss_stop\n"
    "heddle_runtime_miss_stop:\n"
    "int3\n"
    /* cpuid: rdx holds the address behind it, the guest's rdx is in cpuid_rdx. */
    ".globl heddle_runtime_cpuid\n"
    ".hidden heddle_runtime_cpuid\n"
    "heddle_runtime_cpuid:\n"
    "mov %rdx, 0x700000e0\n" /* cpuid_return */
    "mov %rax, %gs:0x90\n  mov %rcx, %gs:0x98\n"
    "mov %rbx, %gs:0xa8\n  mov %rsp, %gs:0xb0\n"
    "mov %gs:0x110, %rsp\n" /* host_stack_top */
    "pushfq\n"
    "popq %gs:0x120\n"        /* saved_flags */
    "mov $0x60710000, %edx\n" /* layout::kCpuidTable: count */
    "mov (%rdx), %rbx\n"
    "1: test %rbx, %rbx\n"
    "jz 3f\n"
    "dec %rbx\n"
    "add $0x20, %rdx\n"
    "cmp %eax, (%rdx)\n"
    "jne 1b\n"
    "cmpl $0, 8(%rdx)\n" /* any_subleaf */
    "jne 2f\n"
    "cmp %ecx, 4(%rdx)\n"
    "jne 1b\n"
    "2: mov 0x10(%rdx), %eax\n mov 0x14(%rdx), %ebx\n"
    "mov 0x18(%rdx), %ecx\n    mov 0x1c(%rdx), %edx\n"
    "pushq %gs:0x120\n popfq\n"
    "mov %gs:0xb0, %rsp\n"
    "jmp *0x700000e0\n"
    "3: decq 0x700000e0\n" /* to its exit */
    "pushq %gs:0x120\n popfq\n"
    "mov %gs:0x90, %rax\n mov %gs:0xa8, %rbx\n"
    "mov %gs:0x98, %rcx\n mov 0x700000e8, %rdx\n" /* cpuid_rdx */
    "mov %gs:0xb0, %rsp\n"
    "jmp *0x700000e0\n"
    /* A counter is used up. */
    ".globl heddle_runtime_budget\n"
    ".hidden heddle_runtime_budget\n"
    "heddle_runtime_budget:\n"
    "mov %rax, %gs:0x90\n  mov %rcx, %gs:0x98\n  mov %rdx, %gs:0xa0\n"
    "mov %rbx, %gs:0xa8\n  mov %rsp, %gs:0xb0\n  mov %rbp, %gs:0xb8\n"
    "mov %rsi, %gs:0xc0\n  mov %rdi, %gs:0xc8\n  mov %r8, %gs:0xd0\n"
    "mov %r9, %gs:0xd8\n   mov %r10, %gs:0xe0\n  mov %r11, %gs:0xe8\n"
    "mov %r12, %gs:0xf0\n  mov %r13, %gs:0xf8\n  mov %r14, %gs:0x100\n"
    "mov %r15, %gs:0x108\n"
    "mov %gs:0x110, %rsp\n" /* host_stack_top */
    "pushfq\n"
    "popq %gs:0x120\n" /* saved_flags */
    "cld\n"
    "call heddle_runtime_refill\n"
    "mov %rax, 0x70000088\n" /* budget_on */
    "pushq %gs:0x120\n     popfq\n"
    "mov %gs:0x90, %rax\n  mov %gs:0xa0, %rdx\n  mov %gs:0xa8, %rbx\n"
    "mov %gs:0xb8, %rbp\n  mov %gs:0xc0, %rsi\n  mov %gs:0xc8, %rdi\n"
    "mov %gs:0xd0, %r8\n   mov %gs:0xd8, %r9\n   mov %gs:0xe0, %r10\n"
    "mov %gs:0xe8, %r11\n  mov %gs:0xf0, %r12\n  mov %gs:0xf8, %r13\n"
    "mov %gs:0x100, %r14\n mov %gs:0x108, %r15\n mov %gs:0xb0, %rsp\n"
    "mov 0x70000088, %rcx\n"
    "jrcxz 1f\n"
    "mov %gs:0x98, %rcx\n"
    "jmp *0x70000088\n"
    "1: mov %gs:0x98, %rcx\n"
    ".globl heddle_runtime_budget_stop\n"
    ".hidden heddle_runtime_budget_stop\n"
    "heddle_runtime_budget_stop:\n"
    "int3\n"
    ".popsection\n");

static inline volatile int64_t* counter(int i) {
  return i == 0 ? &HEDDLE_HOT_STATE->ticks_left : &HEDDLE_HOT_STATE->ticks_more[i - 1];
}

/* Hands out the ticks that are left, but for the last, or HEDDLE_REFILL of them, as the counters
 * were used since the last time, and one more to each counter: however they are used up, none is
 * counted beyond ticks_end. Returns where the task goes on; 0 where there are none. ticks_end may
 * change at any instruction. */
__attribute__((section("heddle_runtime_misses"), used, noinline, visibility("hidden"))) uint64_t
heddle_runtime_refill(void) {
  volatile struct heddle_hot_state* hot = HEDDLE_HOT_STATE;
  int64_t now = hot->ticks_granted;
  uint64_t used[HEDDLE_COUNTERS], all = 0;
  int most = 0;
  for (int i = 0; i < HEDDLE_COUNTERS; ++i) {
    const int64_t left = *counter(i);
    now -= left;
    used[i] = (uint64_t)(hot->ticks_given[i] - left);
    all += used[i];
    if (used[i] > used[most]) most = i;
  }
  int shift = 0;
  while (all >> shift > 0x7fffffff) ++shift;
  /* Some for those that were not used: the first tick of one that has none comes here at once. */
  const uint64_t some = (all >> shift >> 6) + 1;
  all = 0;
  for (int i = 0; i < HEDDLE_COUNTERS; ++i) all += used[i] = (used[i] >> shift) + some;
  while (1) {
    const int64_t end = hot->ticks_end;
    if (end - now <= 0) return 0;
    const uint64_t left = (uint64_t)(end - now) - 1;
    const uint64_t give = left < HEDDLE_REFILL ? left : HEDDLE_REFILL;
    uint64_t given = 0;
    for (int i = 0; i < HEDDLE_COUNTERS; ++i) {
      const uint64_t share = give / all * used[i] + give % all * used[i] / all;
      given += share;
      hot->ticks_given[i] = (int64_t)share + 1;
    }
    hot->ticks_given[most] += (int64_t)(give - given);
    for (int i = 0; i < HEDDLE_COUNTERS; ++i) *counter(i) = hot->ticks_given[i];
    hot->ticks_granted = now + (int64_t)give + HEDDLE_COUNTERS;
    if (hot->ticks_end != end) continue;
    /* Behind the exit, in the arena that has such a low half (machine/tracee/layout.h). */
    const uint64_t low = hot->budget_site + HEDDLE_BUDGET_EXIT;
    const uint64_t high = low >= 0xd0000000   ? 0x7fff00000000
                          : low >= 0x70000000 ? 0
                                              : 0x555500000000;
    return high + low;
  }
}

__asm__(
    ".pushsection heddle_runtime_misses, \"ax\", @progbits\n"
    ".globl heddle_runtime_misses_end\n"
    ".hidden heddle_runtime_misses_end\n"
    "heddle_runtime_misses_end:\n"
    ".popsection\n");
