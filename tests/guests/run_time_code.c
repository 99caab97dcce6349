// Code that the program writes while it runs: in place, through another mapping, by the kernel, in
// two processes, and one instruction ahead of itself.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { kPage = 4096, kRounds = 200 };
typedef int function(void);

static const int kAll = PROT_READ | PROT_WRITE | PROT_EXEC;

// mov eax, value; ret
static void write_function(uint8_t* at, int value) {
  at[0] = 0xb8;
  memcpy(at + 1, &value, sizeof value);
  at[5] = 0xc3;
}

static uint8_t* map(size_t size, int prot, int flags, int fd) {
  uint8_t* at = mmap(NULL, size, prot, flags, fd, 0);
  CHECK(at != MAP_FAILED);
  return at;
}

static int call(const uint8_t* at) {
  return ((function*)(uintptr_t)at)();
}

static void rewritten_in_place(void) {
  uint8_t* code = map(2 * kPage, kAll, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  // The second function jumps to the first, in another page.
  write_function(code, 0);
  const int32_t distance = -(kPage + 5);
  code[kPage] = 0xe9;
  memcpy(code + kPage + 1, &distance, sizeof distance);
  for (int i = 0; i < kRounds; ++i) {
    memcpy(code + 1, &i, sizeof i);
    CHECK(call(code) == i);
    CHECK(call(code + kPage) == i);
  }
  uint8_t* moved = mremap(code, 2 * kPage, 4 * kPage, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  CHECK(call(moved) == kRounds - 1);
  write_function(moved, 7);
  CHECK(call(moved) == 7);
  CHECK(munmap(moved, 4 * kPage) == 0);
}

// The store writes the instruction that follows it: mov dword [rip + 1], edi; mov eax, 0; ret
static void ahead_of_itself(void) {
  uint8_t* code = map(kPage, kAll, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  const uint8_t bytes[] = {0x89, 0x3d, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3};
  memcpy(code, bytes, sizeof bytes);
  int (*function_of)(int) = (int (*)(int))(uintptr_t)code;
  for (int i = 1; i < kRounds; ++i) CHECK(function_of(i) == i);
  // String instructions over two pages of code, the caller's among them.
  uint8_t* copy = map(2 * kPage, kAll, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  const uint8_t fill[] = {0x48, 0x89, 0xf1, 0xb0, 0xc3, 0xf3, 0xaa, 0x31, 0xc0, 0xc3};
  memcpy(copy, fill, sizeof fill);  // mov rcx, rsi; mov al, 0xc3; rep stosb; xor eax, eax; ret
  int (*filler)(uint8_t*, size_t) = (int (*)(uint8_t*, size_t))(uintptr_t)copy;
  write_function(copy + kPage + 100, 5);
  CHECK(call(copy + kPage + 100) == 5);
  CHECK(filler(copy + sizeof fill, 2 * kPage - sizeof fill) == 0);
  CHECK(copy[kPage + 100] == 0xc3);
  CHECK(munmap(copy, 2 * kPage) == 0);
  CHECK(munmap(code, kPage) == 0);
}

static void protected_in_between(void) {
  uint8_t* code = map(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  for (int i = 0; i < kRounds; ++i) {
    write_function(code, i);
    CHECK(mprotect(code, kPage, PROT_READ | PROT_EXEC) == 0);
    CHECK(call(code) == i);
    CHECK(mprotect(code, kPage, i % 2 ? kAll : PROT_READ | PROT_WRITE) == 0);
  }
  CHECK(munmap(code, kPage) == 0);
}

static void through_another_mapping(void) {
  const int fd = memfd_create("code", 0);
  CHECK(fd >= 0 && ftruncate(fd, kPage) == 0);
  uint8_t* data = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  uint8_t* code = map(kPage, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
  for (int i = 0; i < kRounds; ++i) {
    write_function(data, i);
    CHECK(call(code) == i);
  }
  uint8_t* later = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  write_function(later, 1234);
  CHECK(call(code) == 1234);
  CHECK(pwrite(fd, "\x2a", 1, 1) == 1);
  CHECK(call(code) == 1234 - (1234 & 0xff) + 0x2a);
  CHECK(munmap(later, kPage) == 0 && munmap(data, kPage) == 0 && munmap(code, kPage) == 0);
  CHECK(close(fd) == 0);
}

static void by_the_kernel(void) {
  uint8_t* code = map(kPage, kAll, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  int ends[2];
  CHECK(pipe(ends) == 0);
  for (int i = 0; i < 20; ++i) {
    uint8_t made[6];
    write_function(made, i);
    CHECK(write(ends[1], made, sizeof made) == sizeof made);
    CHECK(read(ends[0], code, sizeof made) == sizeof made);
    CHECK(call(code) == i);
  }
  // The page holds data of the kernel's too.
  struct timespec* now = (struct timespec*)(code + 512);
  CHECK(clock_gettime(CLOCK_MONOTONIC, now) == 0 && now->tv_nsec < 1000000000);
  CHECK(call(code) == 19);
  CHECK(clock_gettime(CLOCK_MONOTONIC, now) == 0 && now->tv_nsec < 1000000000);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && munmap(code, kPage) == 0);

  // What a private mapping of a file held comes back.
  FILE* file = tmpfile();
  CHECK(file != NULL);
  uint8_t page[kPage] = {0};
  write_function(page, 3);
  CHECK(fwrite(page, sizeof page, 1, file) == 1 && fflush(file) == 0);
  code = map(kPage, kAll, MAP_PRIVATE, fileno(file));
  CHECK(call(code) == 3);
  write_function(code, 4);
  CHECK(call(code) == 4);
  CHECK(madvise(code, kPage, MADV_DONTNEED) == 0);
  CHECK(call(code) == 3);
  CHECK(munmap(code, kPage) == 0 && fclose(file) == 0);
}

static void in_two_processes(void) {
  uint8_t* code = map(kPage, kAll, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  uint8_t* shared = map(kPage, kAll, MAP_SHARED | MAP_ANONYMOUS, -1);
  write_function(code, 1);
  CHECK(call(code) == 1);
  write_function(code + 64, 2);
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  write_function(code, child == 0 ? 10 : 20);
  CHECK(call(code) == (child == 0 ? 10 : 20));
  CHECK(call(code + 64) == 2);
  write_function(code + 64, child == 0 ? 30 : 40);
  CHECK(call(code + 64) == (child == 0 ? 30 : 40));
  if (child == 0) {
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1);
    CHECK(call(shared) == 50);
    _exit(0);
  }
  write_function(shared, 50);
  CHECK(call(shared) == 50);
  CHECK(write(ends[1], "", 1) == 1);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(munmap(code, kPage) == 0 && munmap(shared, kPage) == 0);
}

// Copied to wherever there is room: code, and data that it names by its distance.
__asm__(
    ".pushsection .rodata\n"
    "far_code:\n"
    "  push %rbx\n"
    "  movl far_value(%rip), %ecx\n"
    "  addl %ecx, far_sum(%rip)\n"
    "  lock xaddl %ecx, far_sum(%rip)\n"
    "  movl far_sum(%rip), %r8d\n"
    "  movd far_value(%rip), %xmm9\n"
    "  paddd far_vector(%rip), %xmm9\n"
    "  movl $1, %eax\n"
    "  xorl %edx, %edx\n"
    "  xorl %ebx, %ebx\n"
    "  xorl %ecx, %ecx\n"
    "  cmpxchg8b far_wide(%rip)\n"
    "  leaq far_value(%rip), %rdx\n"
    "  addl (%rdx), %r8d\n"
    "  movd %xmm9, %ecx\n"
    "  addl %ecx, %r8d\n"
    "  pushq far_target(%rip)\n"
    "  popq %rdx\n"
    "  call *far_target(%rip)\n"
    "  pop %rbx\n"
    "  ret\n"
    "far_value: .long 5\n"
    "far_sum: .long 0\n"
    "far_target: .quad 0\n"
    "far_wide: .quad 1\n"
    ".balign 16\n"
    "far_vector: .long 3, 0, 0, 0\n"
    "far_end:\n"
    "far_result: lea 1(%r8), %eax\n"
    "  ret\n"
    "far_result_end:\n"
    ".popsection\n");
extern const uint8_t far_code[], far_target[], far_vector[], far_end[], far_result[],
    far_result_end[];

// Neither near the program nor near its libraries.
static void far_from_everything(void) {
  uint8_t* const places[] = {(uint8_t*)0x1b1036a56000, (uint8_t*)0x100000000000};
  for (int i = 0; i < 2; ++i) {
    uint8_t* code = mmap(places[i], kPage, kAll, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(code == places[i]);
    memcpy(code, far_code, (size_t)(far_end - far_code));
    memcpy(code + 1024, far_result, (size_t)(far_result_end - far_result));
    const uint64_t target = (uint64_t)(code + 1024);
    memcpy(code + (far_target - far_code), &target, sizeof target);
    // sum: 5 + 5 = 10; 10 + 5 + (5 + 3) + 1; the next time 20.
    CHECK(call(code) == 24);
    CHECK(call(code) == 34);
    CHECK(munmap(code, kPage) == 0);
  }
}

static uint8_t* threads_code;
static pthread_barrier_t barrier;

static void* caller(void* unused) {
  (void)unused;
  for (int i = 0; i < 20; ++i) {
    pthread_barrier_wait(&barrier);
    CHECK(call(threads_code) == i);
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static void in_two_threads(void) {
  threads_code = map(kPage, kAll, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, caller, NULL) == 0);
  for (int i = 0; i < 20; ++i) {
    write_function(threads_code, i);
    pthread_barrier_wait(&barrier);
    CHECK(call(threads_code) == i);
    pthread_barrier_wait(&barrier);
  }
  CHECK(pthread_join(thread, NULL) == 0);
}

int main(void) {
  rewritten_in_place();
  ahead_of_itself();
  protected_in_between();
  through_another_mapping();
  by_the_kernel();
  far_from_everything();
  in_two_processes();
  in_two_threads();
  puts("run_time_code: ok");
  return 0;
}
