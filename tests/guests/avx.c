// What CPUID shows of AVX is there: instructions, and registers that survive signals, threads and
// XSAVE. Prints what it computes.
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

#define AVX __attribute__((target("avx2,fma,f16c,bmi,bmi2,xsave,xsavec,xsaveopt")))

enum { kMagic1 = 0x46505853, kMagic2 = 0x46505845, kXsaveBytes = 4096 };

static volatile sig_atomic_t handled;
static uint64_t frame_upper;

// Finds the interrupted ymm15 in its frame, changes it, and uses every vector register itself.
AVX static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  uint8_t* fp = (uint8_t*)((ucontext_t*)context)->uc_mcontext.fpregs;
  uint32_t magic1, size, magic2, extended;
  memcpy(&magic1, fp + 464, 4);
  memcpy(&extended, fp + 468, 4);
  memcpy(&size, fp + 480, 4);
  CHECK(magic1 == kMagic1);
  CHECK(extended >= size + 4 && size >= 832);
  memcpy(&magic2, fp + size, 4);
  CHECK(magic2 == kMagic2);
  uint64_t in_use;
  memcpy(&in_use, fp + 512, 8);
  CHECK((in_use & 6) == 6);
  memcpy(&frame_upper, fp + 576 + 15 * 16, 8);
  const uint64_t changed = frame_upper + 1;
  memcpy(fp + 576 + 15 * 16, &changed, 8);
  __asm__ volatile("vpcmpeqb %%ymm15, %%ymm15, %%ymm15\n vmovdqa %%ymm15, %%ymm0\n vzeroupper" ::
                       : "xmm0", "xmm15", "memory");
  handled = 1;
}

AVX static void across_a_signal(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = handler;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  const uint64_t before[4] = {1, 2, 0x1122334455667788, 4};
  uint64_t after[4] = {0};
  const long self = getpid();
  __asm__ volatile(
      "vmovdqu (%[before]), %%ymm15\n"
      "mov $62, %%eax\n"  // kill(self, SIGUSR1)
      "syscall\n"
      "vmovdqu %%ymm15, (%[after])\n"
      "vzeroupper\n" ::[before] "r"(before),
      [after] "r"(after), "D"(self), "S"((long)SIGUSR1)
      : "rax", "rcx", "r11", "xmm15", "memory");
  CHECK(handled == 1);
  CHECK(frame_upper == 0x1122334455667788);
  CHECK(after[0] == 1 && after[1] == 2 && after[2] == 0x1122334455667789 && after[3] == 4);
}

AVX static void saved_and_restored(void) {
  static uint8_t area[kXsaveBytes] __attribute__((aligned(64)));
  static uint8_t compact[kXsaveBytes] __attribute__((aligned(64)));
  uint64_t ymm[4] = {5, 6, 7, 8}, got[4] = {0};
  unsigned long flags_before, flags_after;
  __asm__ volatile(
      "vmovdqu (%[ymm]), %%ymm3\n"
      "mov $6, %%eax\n"
      "xor %%edx, %%edx\n"
      "stc\n"
      "pushfq\n pop %[before]\n"
      "xsave (%[area])\n"
      "xsavec (%[compact])\n"
      "pushfq\n pop %[after]\n"
      "vpxor %%ymm3, %%ymm3, %%ymm3\n"
      "mov $6, %%eax\n"
      "xor %%edx, %%edx\n"
      "xrstor (%[area])\n"
      "vmovdqu %%ymm3, (%[got])\n"
      "vzeroupper\n"
      : [before] "=&r"(flags_before), [after] "=&r"(flags_after)
      : [ymm] "r"(ymm), [area] "r"(area), [compact] "r"(compact), [got] "r"(got)
      : "rax", "rdx", "xmm3", "memory", "cc");
  CHECK(flags_before == flags_after && (flags_after & 1));
  CHECK(memcmp(ymm, got, sizeof ymm) == 0);
  uint64_t in_use, format;
  memcpy(&in_use, area + 512, 8);
  memcpy(&format, area + 520, 8);
  CHECK(in_use == 6 && format == 0);
  memcpy(&in_use, compact + 512, 8);
  memcpy(&format, compact + 520, 8);
  CHECK(in_use == 6 && format == (0x8000000000000006));
  CHECK(memcmp(area + 160, compact + 160, 256) == 0);
  CHECK(memcmp(area + 576, compact + 576, 256) == 0);
  CHECK(memcmp(area + 576 + 3 * 16, ymm + 2, 16) == 0);
}

AVX static void* in_a_thread(void* argument) {
  const uint64_t mine = (uint64_t)(uintptr_t)argument;
  __m256i value = _mm256_set1_epi64x((long long)mine);
  for (int i = 0; i < 200; ++i) {
    __asm__ volatile("" : "+x"(value));
    value = _mm256_add_epi64(value, _mm256_set1_epi64x(1));
    if (i % 10 == 0) sched_yield();
  }
  uint64_t out[4];
  _mm256_storeu_si256((__m256i*)out, value);
  for (int i = 0; i < 4; ++i) CHECK(out[i] == mine + 200);
  return NULL;
}

AVX static void computed(void) {
  static float numbers[64];
  for (int i = 0; i < 64; ++i) numbers[i] = (float)i * 0.37f;
  __m256 sum = _mm256_setzero_ps();
  const __m256i index = _mm256_setr_epi32(0, 9, 18, 27, 36, 45, 54, 63);
  for (int i = 0; i < 50; ++i) {
    const __m256 x = _mm256_i32gather_ps(numbers, index, 4);
    sum = _mm256_fmadd_ps(x, _mm256_set1_ps(1.0f + (float)i), sum);
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, sum);
  for (int i = 0; i < 8; ++i) printf("%a ", (double)lanes[i]);
  const __m128i halves = _mm256_cvtps_ph(sum, _MM_FROUND_TO_NEAREST_INT);
  printf("%llx %llx %llx\n", (unsigned long long)_mm_cvtsi128_si64(halves),
         (unsigned long long)_pext_u64(0x123456789abcdef0, 0xff00ff00f0f0),
         (unsigned long long)_mulx_u64(~0ull, 12345, (unsigned long long*)lanes));

  // Lanes that the mask leaves out are not touched: they lie in no mapping.
  uint8_t* pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED && munmap(pages + 4096, 4096) == 0);
  int* edge = (int*)(pages + 4096 - 8);
  const __m256i mask = _mm256_setr_epi32(-1, -1, 0, 0, 0, 0, 0, 0);
  _mm256_maskstore_epi32(edge, mask, _mm256_set1_epi32(77));
  const __m256i loaded = _mm256_maskload_epi32(edge, mask);
  CHECK(_mm256_extract_epi32(loaded, 1) == 77 && _mm256_extract_epi32(loaded, 2) == 0);
}

int main(void) {
  printf("avx %d avx2 %d fma %d f16c %d bmi %d bmi2 %d\n", __builtin_cpu_supports("avx") != 0,
         __builtin_cpu_supports("avx2") != 0, __builtin_cpu_supports("fma") != 0,
         __builtin_cpu_supports("f16c") != 0, __builtin_cpu_supports("bmi") != 0,
         __builtin_cpu_supports("bmi2") != 0);
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2")) {
    puts("avx: ok");
    return 0;
  }
  unsigned a, b, c, d;
  CHECK(__get_cpuid_count(0xd, 0, &a, &b, &c, &d) && (a & 7) == 7 && b >= 832 && c >= b);
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  CHECK(low == a && high == d);
  across_a_signal();
  saved_and_restored();
  pthread_t threads[3];
  for (uintptr_t i = 0; i < 3; ++i)
    CHECK(pthread_create(&threads[i], NULL, in_a_thread, (void*)(1000 * (i + 1))) == 0);
  for (int i = 0; i < 3; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  computed();
  puts("avx: ok");
  return 0;
}
