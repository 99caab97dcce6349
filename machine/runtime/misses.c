/* Where translated code goes that has no translation to go to. Asks the thread of the supervisor
 * that watches the hot state, and stops for the supervisor itself if that does not answer.
 *
 * Freestanding, like runtime.c: copied to layout::kMissCode of another process. No register but
 * rcx, which is put back, and no flag changes; nothing is written but the hot state. The numbers
 * are offsets in heddle_hot_state from HEDDLE_HOT_STATE (runtime.cpp asserts them). */
#include "machine/runtime/task_state.h"

__asm__(
    ".pushsection heddle_runtime_misses, \"ax\", @progbits\n"
    /* An indirect transfer: its target is in r11. */
    ".globl heddle_runtime_lookup_miss\n"
    ".hidden heddle_runtime_lookup_miss\n"
    "heddle_runtime_lookup_miss:\n"
    "mov %r11, 0x70000070\n" /* miss_target */
    "movq $1, 0x70000040\n"  /* miss_request: HEDDLE_MISS_LOOKUP */
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
    ".globl heddle_runtime_misses_end\n"
    ".hidden heddle_runtime_misses_end\n"
    "heddle_runtime_misses_end:\n"
    ".popsection\n");
