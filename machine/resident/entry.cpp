// The way into the guest's code and out of it, without the kernel.
#include <cstddef>

#include "machine/resident/resident_state.h"

static_assert(offsetof(heddle_task_state, fs_base) == 0x50);
static_assert(offsetof(heddle_task_state, saved) == 0x90);
static_assert(offsetof(heddle_task_state, saved_flags) == 0x120);
static_assert(offsetof(heddle_resident_state, host_rsp) == 0x400);
static_assert(offsetof(heddle_resident_state, host_fs) == 0x408);
static_assert(offsetof(heddle_resident_state, extended) == 0x410);
static_assert(offsetof(heddle_resident_state, host_mxcsr) == 0x418);
static_assert(offsetof(heddle_resident_state, extended_mask) == 0x420);
static_assert(offsetof(heddle_resident_state, resume) == 0x428);
static_assert(offsetof(heddle_resident_state, in_guest) == 0x430);
static_assert(offsetof(heddle_resident_state, exit) == HEDDLE_STATE_EXIT);
static_assert(offsetof(heddle_resident_state, exit_entry) == HEDDLE_STATE_EXIT_ENTRY);

// Nothing is written below the guest's rsp: the host's stack is used for the flags. The guest may
// leave the x87 stack and the upper halves of the vector registers in any state, so they are reset
// for our own code (System V ABI, x86-64 supplement, 3.2.1).
__asm__(
    ".text\n"
    ".globl heddle_resident_enter\n"
    ".type heddle_resident_enter, @function\n"
    "heddle_resident_enter:\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  sub $8, %rsp\n"
    "  mov %rsp, %gs:0x400\n"
    "  stmxcsr %gs:0x418\n"
    "  rdfsbase %rax\n"
    "  mov %rax, %gs:0x408\n"
    "  mov %gs:0x410, %rsi\n"
    "  mov %gs:0x420, %eax\n"
    "  xor %edx, %edx\n"
    "  movq $1, %gs:0x430\n"
    "  xrstor64 (%rsi)\n"
    "  mov %gs:0x50, %rax\n"
    "  wrfsbase %rax\n"
    "  pushq %gs:0x120\n"
    "  popfq\n"
    "  mov %gs:0x90, %rax\n   mov %gs:0x98, %rcx\n   mov %gs:0xa0, %rdx\n"
    "  mov %gs:0xa8, %rbx\n   mov %gs:0xb8, %rbp\n   mov %gs:0xc0, %rsi\n"
    "  mov %gs:0xc8, %rdi\n   mov %gs:0xd0, %r8\n    mov %gs:0xd8, %r9\n"
    "  mov %gs:0xe0, %r10\n   mov %gs:0xe8, %r11\n   mov %gs:0xf0, %r12\n"
    "  mov %gs:0xf8, %r13\n   mov %gs:0x100, %r14\n  mov %gs:0x108, %r15\n"
    "  mov %gs:0xb0, %rsp\n"
    "  jmp *%gs:0x428\n"
    ".globl heddle_resident_left\n"
    "heddle_resident_left:\n"
    "  mov %rax, %gs:0x90\n   mov %rcx, %gs:0x98\n   mov %rdx, %gs:0xa0\n"
    "  mov %rbx, %gs:0xa8\n   mov %rsp, %gs:0xb0\n   mov %rbp, %gs:0xb8\n"
    "  mov %rsi, %gs:0xc0\n   mov %rdi, %gs:0xc8\n   mov %r8, %gs:0xd0\n"
    "  mov %r9, %gs:0xd8\n    mov %r10, %gs:0xe0\n   mov %r11, %gs:0xe8\n"
    "  mov %r12, %gs:0xf0\n   mov %r13, %gs:0xf8\n   mov %r14, %gs:0x100\n"
    "  mov %r15, %gs:0x108\n"
    "  mov %gs:0x400, %rsp\n"
    "  pushfq\n"
    "  popq %gs:0x120\n"
    ".globl heddle_resident_faulted\n"
    "heddle_resident_faulted:\n"
    "  mov %gs:0x400, %rsp\n"
    "  cld\n"
    "  mov %gs:0x410, %rsi\n"
    "  mov %gs:0x420, %eax\n"
    "  xor %edx, %edx\n"
    "  xsave64 (%rsi)\n"
    "  movq $0, %gs:0x430\n"
    "  mov %gs:0x408, %rax\n"
    "  wrfsbase %rax\n"
    "  vzeroupper\n"
    "  fninit\n"
    "  ldmxcsr %gs:0x418\n"
    "  add $8, %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
    "  ret\n"
    ".size heddle_resident_enter, . - heddle_resident_enter\n");
