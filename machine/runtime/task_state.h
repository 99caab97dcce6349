/* The page that gs points at while a task runs translated code. Shared by the translator, which
 * emits accesses to it, the runtime, which is C, and the supervisor, which reads and writes it with
 * the task stopped. Guests do not use gs (arch_prctl(ARCH_SET_GS) is refused by name). */
#ifndef HEDDLE_MACHINE_RUNTIME_TASK_STATE_H
#define HEDDLE_MACHINE_RUNTIME_TASK_STATE_H

#include <stdint.h>

/* Memory that the call under way may write: what the runtime logs of it afterwards. */
struct heddle_planned_effect {
  uint64_t address;
  uint64_t room;   /* bytes */
  uint64_t length; /* HEDDLE_EXTENT_ADDRESS: where its length is */
  uint64_t how;    /* enum heddle_extent */
};

enum { HEDDLE_PLANNED_EFFECTS = 8 };

/* Why a call was left to the supervisor. */
enum heddle_left {
  HEDDLE_LEFT_KIND = 0, /* it is not one that the runtime makes */
  HEDDLE_LEFT_WAITS,    /* it has been tried, and would wait */
  HEDDLE_LEFT_FULL,     /* there is no room in the log, or no call granted */
};

struct heddle_planned_call {
  uint64_t ticks; /* of the task at the call */
  uint64_t left;  /* enum heddle_left */
  uint32_t count; /* of effects */
  uint32_t retry; /* enum heddle_retry: results that leave the call to the supervisor */
  struct heddle_planned_effect effects[HEDDLE_PLANNED_EFFECTS];
  uint64_t part[2];     /* struct iovec */
  uint64_t message[7];  /* struct msghdr */
  uint64_t answer[3];   /* what a call that the runtime answers writes as its first effect: */
  uint64_t answer_size; /* so many bytes */
  uint64_t taken[4];    /* what the call takes, where it is logged, */
  uint64_t taken_at;    /* from where, */
  uint64_t taken_size;  /* and how many bytes */
  uint64_t signals[3];  /* the mask (the first) or the alternate stack after it */
  uint64_t expected;    /* replay: what a call that is performed again returns, where */
  uint64_t performs;    /* this is not 0 */
};

struct heddle_task_state {
  uint64_t self;           /* 0x00 address of this structure */
  uint64_t signals;        /* 0x08 recording: whether the runtime may serve calls on signals */
  uint64_t blocked;        /* 0x10 then: the guest's signal mask */
  uint64_t stack[3];       /* 0x18 then: its alternate stack, as stack_t */
  uint64_t looks;          /* 0x30 recording: what is known of descriptors is not of this process */
  uint64_t points_left;    /* 0x38 explore mode: access points until the point exit; taken at 0 */
  uint64_t split_value;    /* 0x40 what a split read-modify-write loaded, zero-extended */
  uint64_t access_next;    /* 0x48 analysis mode: where the next access entry goes */
  uint64_t fs_base;        /* 0x50 the guest's fs base, for the addresses of fs: operands */
  uint64_t syscall_pc;     /* 0x58 guest address of the syscall instruction being served */
  uint64_t syscall_return; /* 0x60 host address to go on at when the runtime served the call */
  uint64_t syscall_stop;   /* 0x68 host address of the exit for a call that the runtime declines */
  uint64_t syscall_entry;  /* 0x70 host address of the runtime's entry */
  uint64_t minus_owner;    /* 0x78 analysis mode: 0 - owner */
  uint64_t task;           /* 0x80 the TaskId */
  uint64_t log;            /* 0x88 address of the process's struct heddle_log */
  uint64_t saved[16];      /* 0x90 the runtime's save area, in the hardware's register order */
  uint64_t host_stack_top; /* 0x110 the runtime's own stack for this task, grows down */
  uint64_t calls_left;     /* 0x118 recording: calls that the runtime may serve yet */
  uint64_t saved_flags;    /* 0x120 rflags, as saved[] */
  uint64_t owner;          /* 0x128 analysis mode: who uses lines, 32 bits */
  uint64_t call[7];        /* 0x130 the runtime's: number and arguments that the kernel is given */
  uint64_t data;           /* 0x168 address of the process's struct heddle_runtime_data */
  struct heddle_planned_call planned; /* 0x170 the runtime's */
};

/* What translated code touches all the time. One for the task of a process that runs, in the first
 * page of every arena (the same memory in all of them), so that it is reached relative to rip:
 * processors forward such stores to loads without delay, and segment-relative ones they do not. */
enum { HEDDLE_COUNTERS = 8 };
enum { HEDDLE_REFILL = 2000000 }; /* ticks that the counters are filled with at a time, at most */
struct heddle_hot_state {
  int64_t ticks_left;    /* 0x00 ticks until the one that takes the budget exit, at 0 */
  uint64_t spill[4];     /* 0x08 guest values of scratch registers, valid where a table says so */
  uint64_t transfer;     /* 0x28 low half of the host address of the last indirect transfer */
  int64_t ticks_granted; /* 0x30 ticks so far = ticks_granted - the counters' sum */
  uint64_t miss_entry;   /* 0x38 where a direct transfer goes that is not linked */
  uint64_t miss_request; /* 0x40 low half of its stub's host address, or HEDDLE_MISS_LOOKUP */
  uint64_t miss_answer;  /* 0x48 host address to go on at */
  uint64_t miss_rcx;     /* 0x50 the guest's, while it waits for the answer */
  uint64_t miss_turns;   /* 0x58 of waiting, until it stops */
  uint64_t miss_watched; /* 0x60 whether there is someone to answer */
  uint64_t miss_jump;    /* 0x68 */
  uint64_t miss_target;  /* 0x70 of an indirect transfer */
  uint64_t budget_entry; /* 0x78 where a fast translation goes that has used up a counter */
  uint64_t budget_site;  /* 0x80 low half of the host address of its exit */
  uint64_t budget_on;    /* 0x88 where it goes on, if there are ticks left */
  int64_t ticks_end; /* 0x90 the tick that takes the budget exit, counted from the task's first */
  int64_t ticks_given[HEDDLE_COUNTERS]; /* 0x98 the counters when they were last filled */
  uint64_t cpuid_entry;                 /* 0xd8 where a cpuid instruction goes */
  uint64_t cpuid_return; /* 0xe0 host address behind it; its exit is the byte in front */
  uint64_t cpuid_rdx;    /* 0xe8 the guest's, until it is answered */
  uint64_t unused[2];
  /* 0x100 Counters of fast translations besides ticks_left: ticks that follow each other take
   * different ones, since a load waits for the store that it follows. */
  int64_t ticks_more[HEDDLE_COUNTERS - 1];
};

enum {
  HEDDLE_HOT_TICKS_LEFT = 0x00,
  HEDDLE_HOT_SPILL = 0x08,
  HEDDLE_HOT_TRANSFER = 0x28,
  HEDDLE_HOT_MISS_ENTRY = 0x38,
  HEDDLE_HOT_MISS_REQUEST = 0x40,
  HEDDLE_HOT_BUDGET_ENTRY = 0x78,
  HEDDLE_HOT_BUDGET_SITE = 0x80,
  HEDDLE_HOT_CPUID_ENTRY = 0xd8,
  HEDDLE_HOT_CPUID_RDX = 0xe8,
  HEDDLE_HOT_TICKS_MORE = 0x100
};
enum { HEDDLE_MISS_LOOKUP = 1, HEDDLE_MISS_RETURN = 2 };
enum { HEDDLE_BUDGET_EXIT = 16 }; /* bytes of the exit at budget_site */

/* Where the first arena, and so the hot state, lies (machine/tracee/layout.h). */
#define HEDDLE_HOT_STATE ((volatile struct heddle_hot_state*)0x70000000)

enum {
  HEDDLE_STATE_POINTS_LEFT = 0x38,
  HEDDLE_STATE_SPLIT_VALUE = 0x40,
  HEDDLE_STATE_ACCESS_NEXT = 0x48,
  HEDDLE_STATE_FS_BASE = 0x50,
  HEDDLE_STATE_SYSCALL_PC = 0x58,
  HEDDLE_STATE_SYSCALL_RETURN = 0x60,
  HEDDLE_STATE_SYSCALL_STOP = 0x68,
  HEDDLE_STATE_SYSCALL_ENTRY = 0x70,
  HEDDLE_STATE_MINUS_OWNER = 0x78,
  HEDDLE_STATE_CALLS_LEFT = 0x118,
  HEDDLE_STATE_OWNER = 0x128,
  /* Of heddle_resident_state (machine/resident/resident_state.h), where an exit is a jump. */
  HEDDLE_STATE_EXIT = 0x438,
  HEDDLE_STATE_EXIT_ENTRY = 0x440
};

/* What cpuid answers, in layout::kCpuidTable. A leaf that is not there stops for the supervisor. */
struct heddle_cpuid_answer {
  uint32_t leaf;
  uint32_t subleaf;
  uint32_t any_subleaf; /* 1: whatever the subleaf */
  uint32_t unused;
  uint32_t eax, ebx, ecx, edx;
};
struct heddle_cpuid_table {
  uint64_t count;
  uint64_t unused[3];
  struct heddle_cpuid_answer answers[127];
};

/* heddle_access_entry::kind of a watched call; the other kinds are heddle::AccessKind's. */
enum { HEDDLE_ENTRY_CALL = 16 };

/* One logged access of analysis mode. Written before the instruction executes. Of a watched call
 * the address is the watched register's value, and the size is 0. */
struct heddle_access_entry {
  uint64_t address;
  int64_t ticks_left; /* of the task at that moment: gives the Place's ticks */
  uint64_t pc;        /* guest address of the instruction */
  uint32_t size;      /* bytes; rep movs/stos: of the whole operation */
  uint32_t kind;      /* heddle::AccessKind */
};

/* The tables of indirect jumps and calls, and of returns: host addresses of landing pads by guest
 * address & 0xffff. A pad that is another address's leads to the next of its index; 0 ends the
 * list. */

#endif
