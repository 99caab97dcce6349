// Every synchronous fault, with all that its handler is told: prints it, to be compared with a
// native run. The faulting instructions lie between labels; addresses are printed relative to them.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

extern char fault_code[], fault_code_end[];
static const char* name;
static uint64_t data;  // what rdi holds
static int faults;

static const char* place(uint64_t address, char* text, size_t size) {
  if (address >= (uint64_t)fault_code && address <= (uint64_t)fault_code_end)
    snprintf(text, size, "code+%llu", (unsigned long long)(address - (uint64_t)fault_code));
  else if (data != 0 && address - data < 8192)
    snprintf(text, size, "data+%llu", (unsigned long long)(address - data));
  else
    snprintf(text, size, "%llx", (unsigned long long)address);
  return text;
}

// Says what it is told, and goes on behind the instruction, which rbx leads to.
static void handler(int signal, siginfo_t* info, void* context) {
  greg_t* r = ((ucontext_t*)context)->uc_mcontext.gregs;
  char at[32], address[32], cr2[32] = "-";
  if (r[REG_TRAPNO] == 14) place((uint64_t)r[REG_CR2], cr2, sizeof cr2);  // otherwise an old one
  printf("%s: signal %d code %d address %s at %s trap %lld error %llx cr2 %s\n", name, signal,
         info->si_code, place((uint64_t)info->si_addr, address, sizeof address),
         place((uint64_t)r[REG_RIP], at, sizeof at), (long long)r[REG_TRAPNO],
         (long long)r[REG_ERR], cr2);
  printf("  rax %llx rcx %llx rdx %llx rsi %s r8 %llx r15 %llx\n", (long long)r[REG_RAX],
         (long long)r[REG_RCX], (long long)r[REG_RDX],
         place((uint64_t)r[REG_RSI], address, sizeof address), (long long)r[REG_R8],
         (long long)r[REG_R15]);
  r[REG_RIP] = r[REG_RBX];
  faults++;
}

// The instruction, with rdi leading to `at` and other registers of known values. The flags are not
// looked at: where they are dead they need not be the native ones.
#define FAULT(what, at, instruction)                                                       \
  do {                                                                                     \
    name = what;                                                                           \
    data = (uint64_t)(at);                                                                 \
    const int before = faults;                                                             \
    __asm__ volatile(                                                                      \
        "lea 2f(%%rip), %%rbx\n mov $0x1111, %%eax\n mov $3, %%ecx\n mov $0x2222, %%edx\n" \
        "mov %%rdi, %%rsi\n mov $0x8888, %%r8d\n mov $0xffff, %%r15d\n"                    \
        "cmp %%eax, %%edx\n" instruction "\n 2: lahf\n" ::"D"(at)                          \
        : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r15", "xmm0", "xmm1", "memory", "cc"); \
    CHECK(faults == before + 1);                                                           \
  } while (0)

__attribute__((noinline, section(".text.faults"))) static void all(uint8_t* read_only,
                                                                   uint8_t* file, uint8_t* edge) {
  __asm__ volatile(".globl fault_code\n fault_code:");
  FAULT("load from nowhere", 16, "mov (%%rdi), %%rax");
  FAULT("store to nowhere", 16, "mov %%rax, 8(%%rdi)");
  CHECK(*(volatile uint8_t*)read_only == 0);  // it is there
  FAULT("store to a read-only page", read_only, "add %%eax, 24(%%rdi)");
  FAULT("address that is none", 0x8000000000000000, "mov (%%rdi), %%rax");
  FAULT("jump to nowhere", 0x1230, "jmp *%%rdi");
  FAULT("jump to data", read_only, "jmp *%%rdi");
  FAULT("load beyond a file", file, "mov 4096(%%rdi), %%al");
  FAULT("store beyond a file", file, "mov %%al, 4100(%%rdi)");
  FAULT("a load over the edge", edge, "mov 4092(%%rdi), %%rax");
  FAULT("stores that run over the edge", edge, "add $4094, %%rdi\n rep stosb");
  FAULT("an operand that is not aligned", read_only, "movaps 1(%%rdi), %%xmm0");
  FAULT("division by zero", 0, "xor %%edx, %%edx\n cmp %%edx, %%eax\n div %%edx");
  FAULT("a quotient too large", 0, "mov $1, %%ecx\n cmp %%ecx, %%edx\n div %%ecx");
  FAULT("ud2", 0, "ud2");
  FAULT("int3", 0, "int3");
  FAULT("a privileged instruction", 0, "hlt");
  FAULT("an interrupt that is the kernel's", 0, "int $0x58");
  static const uint32_t unmasked = 0x1d80, usual = 0x1f80;
  FAULT("a vector division by zero", &unmasked,
        "ldmxcsr (%%rdi)\n xorps %%xmm1, %%xmm1\n pcmpeqd %%xmm0, %%xmm0\n psrld $25, %%xmm0\n"
        "pslld $23, %%xmm0\n divss %%xmm1, %%xmm0");
  __asm__ volatile("ldmxcsr %0" ::"m"(usual));
  static const uint16_t x87_unmasked = 0x37b;
  FAULT("an x87 division by zero", &x87_unmasked, "fldcw (%%rdi)\n fldz\n fld1\n fdivp\n fwait");
  __asm__ volatile("fninit");
  __asm__ volatile(".globl fault_code_end\n fault_code_end:");
}

int main(void) {
  const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (int i = 0; i < 5; ++i) {
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = handler;
    CHECK(sigaction(signals[i], &action, NULL) == 0);
  }
  uint8_t* read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint8_t* edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(read_only != MAP_FAILED && edge != MAP_FAILED && munmap(edge + 4096, 4096) == 0);
  FILE* short_file = tmpfile();
  CHECK(short_file != NULL && ftruncate(fileno(short_file), 100) == 0);
  uint8_t* file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(short_file), 0);
  CHECK(file != MAP_FAILED);
  all(read_only, file, edge);
  puts("faults: ok");
  return 0;
}
