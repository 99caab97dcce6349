// An interpreter of byte code, by a switch or by computed gotos. Usage: interpreter switch|goto
// [rounds]
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kPush, kAdd, kMultiply, kXor, kShift, kDuplicate, kSwap, kDrop, kLoop, kEnd };

// Mixes a number; the loop's body is what an evaluator of expressions would run.
static const uint8_t program[] = {kDuplicate, kPush, 7,  kMultiply, kDuplicate, kShift,
                                  kXor,       kPush, 13, kAdd,      kDuplicate, kSwap,
                                  kDrop,      kPush, 3,  kXor,      kLoop,      kEnd};

__attribute__((noinline)) static uint64_t by_switch(uint64_t rounds) {
  uint64_t stack[16] = {1}, *top = stack;
  for (const uint8_t* pc = program;;) {
    switch (*pc++) {
      case kPush:
        *++top = *pc++;
        break;
      case kAdd:
        top[-1] += top[0];
        --top;
        break;
      case kMultiply:
        top[-1] *= top[0];
        --top;
        break;
      case kXor:
        top[-1] ^= top[0];
        --top;
        break;
      case kShift:
        top[0] >>= 3;
        break;
      case kDuplicate:
        top[1] = top[0];
        ++top;
        break;
      case kSwap: {
        uint64_t t = top[0];
        top[0] = top[-1];
        top[-1] = t;
        break;
      }
      case kDrop:
        --top;
        break;
      case kLoop:
        top = stack;
        if (--rounds) pc = program;
        break;
      default:
        return stack[0];
    }
  }
}

#define NEXT goto* labels[*pc++]
__attribute__((noinline)) static uint64_t by_goto(uint64_t rounds) {
  static const void* const labels[] = {&&push,      &&add,  &&multiply, &&xor_, &&shift,
                                       &&duplicate, &&swap, &&drop,     &&loop, &&end};
  uint64_t stack[16] = {1}, *top = stack;
  const uint8_t* pc = program;
  NEXT;
push:
  *++top = *pc++;
  NEXT;
add:
  top[-1] += top[0];
  --top;
  NEXT;
multiply:
  top[-1] *= top[0];
  --top;
  NEXT;
xor_:
  top[-1] ^= top[0];
  --top;
  NEXT;
shift:
  top[0] >>= 3;
  NEXT;
duplicate:
  top[1] = top[0];
  ++top;
  NEXT;
swap : {
  uint64_t t = top[0];
  top[0] = top[-1];
  top[-1] = t;
}
  NEXT;
drop:
  --top;
  NEXT;
loop:
  top = stack;
  if (--rounds) pc = program;
  NEXT;
end:
  return stack[0];
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const uint64_t rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000000;
  const uint64_t x = strcmp(argv[1], "switch") == 0 ? by_switch(rounds) : by_goto(rounds);
  printf("%llu\n", (unsigned long long)x);
  return 0;
}
