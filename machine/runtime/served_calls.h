/* What the runtime knows of system calls and descriptors: memory of each process of the guest's, at
 * layout::kRuntimeData. C, as the runtime is. */
#ifndef HEDDLE_MACHINE_RUNTIME_SERVED_CALLS_H
#define HEDDLE_MACHINE_RUNTIME_SERVED_CALLS_H

#include <stdint.h>

/* How a call is served. What may wait is tried in a way that does not. */
enum heddle_family {
  HEDDLE_DECLINED = 0,
  HEDDLE_PLAIN, /* as it is */
  HEDDLE_FUTEX,
  HEDDLE_READ,  /* descriptor, buffer, size */
  HEDDLE_READV, /* descriptor, parts, count */
  HEDDLE_PREAD, /* as HEDDLE_READ, only from what never waits */
  HEDDLE_WRITE,
  HEDDLE_WRITEV,
  HEDDLE_PWRITE,
  HEDDLE_RECVFROM,
  HEDDLE_SENDTO,
  HEDDLE_SENDMSG,
  HEDDLE_ACCEPT,
  HEDDLE_EPOLL_WAIT,
  HEDDLE_POLL,
  HEDDLE_OPEN, /* path, flags */
  HEDDLE_OPENAT,
  HEDDLE_FCNTL,
  HEDDLE_IOCTL,       /* descriptor, command */
  HEDDLE_CLOCK,       /* clock, struct timespec */
  HEDDLE_TIME_OF_DAY, /* struct timeval, struct timezone */
  HEDDLE_MMAP,        /* only what is plain: plain_memory.h */
  HEDDLE_PLAIN_MEMORY,
  HEDDLE_SIGACTION, /* signal_calls.h */
  HEDDLE_SIGPROCMASK,
  HEDDLE_SIGALTSTACK,
};

/* Memory that a HEDDLE_PLAIN call writes where it succeeds. */
struct heddle_served_output {
  uint8_t argument;
  uint8_t how;   /* enum heddle_extent */
  uint8_t other; /* HEDDLE_EXTENT_RETURNED: the argument that bounds it */
  uint8_t zero;
  uint16_t unit; /* HEDDLE_EXTENT_FIXED: bytes */
};

enum heddle_extent {
  HEDDLE_EXTENT_NONE = 0,
  HEDDLE_EXTENT_FIXED,    /* so many bytes */
  HEDDLE_EXTENT_RETURNED, /* as many bytes as the result says, at most what there was room for */
  HEDDLE_EXTENT_COUNTED,  /* 12 bytes, so many times as the result says: struct epoll_event */
  HEDDLE_EXTENT_ADDRESS,  /* what the length behind it says, at most what there was room for */
};

struct heddle_served {
  uint8_t family;
  uint8_t forgets; /* 1 + the argument whose descriptor may be another one afterwards; 0: none */
  struct heddle_served_output output[2];
};

enum { HEDDLE_SERVED_CALLS = 512, HEDDLE_DESCRIPTORS = 4096 };

/* What is known of a descriptor. One that is closed or replaced is HEDDLE_UNKNOWN again. */
enum heddle_descriptor {
  HEDDLE_UNKNOWN = 0,
  HEDDLE_FILE,   /* never waits: a file, a directory, the likes of /dev/null */
  HEDDLE_STREAM, /* a socket of bytes or datagrams */
  HEDDLE_PIPE,
  HEDDLE_ANONYMOUS, /* event counters and their like */
  HEDDLE_OTHER,     /* only the supervisor */
  HEDDLE_KIND = 0x7f,
  HEDDLE_WRITES = 0x80, /* of a HEDDLE_FILE: nothing that the program maps shows what is written */
};

/* Addresses; none where end is not above start. */
struct heddle_range {
  uint64_t start, end;
};
enum { HEDDLE_PLAIN_RANGES = 32 };

struct heddle_runtime_data {
  struct heddle_served served[HEDDLE_SERVED_CALLS];
  uint8_t descriptors[HEDDLE_DESCRIPTORS];        /* enum heddle_descriptor, by number */
  struct heddle_range plain[HEDDLE_PLAIN_RANGES]; /* see plain_memory.h; recording */
  uint64_t maps; /* whether the runtime may map memory where the kernel likes; recording */
  uint64_t brk;  /* the program break; replaying */
  /* The vDSO's functions, as System V calls them; null where there are none. */
  int (*clock_gettime)(int64_t clock, uint64_t time[2]);
  int (*gettimeofday)(uint64_t time[2], void* zone);
};

#endif
