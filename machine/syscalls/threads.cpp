// What threads are made of: identity, futexes, robust lists, barriers.
#include <linux/futex.h>

#include "machine/syscalls/commands.h"
#include "machine/syscalls/rows.h"

namespace heddle {

// The kernel changes the words of priority-inheriting locks, and WAKE_OP's second word.
void futex_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  constexpr uint64_t kWord = 4;
  switch (call.arguments[1] & FUTEX_CMD_MASK) {
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_TRYLOCK_PI:
    case FUTEX_UNLOCK_PI:
      out.push_back({call.arguments[0], kWord});
      break;
    case FUTEX_WAKE_OP:
    case FUTEX_CMP_REQUEUE_PI:
    case FUTEX_WAIT_REQUEUE_PI:
      out.push_back({call.arguments[4], kWord});
      break;
    default:
      break;
  }
}

}  // namespace heddle

namespace heddle::rows {
namespace {

constexpr Argument kOperation{Kind::futex_operation};

constexpr Syscall kCalls[] = {
    {SYS_gettid, "gettid", logged, at_once, {}},
    {SYS_futex, "futex", logged, blocks, {in, kOperation, number, in, in, number}, futex_effects},
    {SYS_set_thread_area, "set_thread_area", logged, at_once, {in}},
    {SYS_get_thread_area, "get_thread_area", logged, at_once, {in}},
    {SYS_set_tid_address, "set_tid_address", logged, at_once, {in}},
    {SYS_set_robust_list, "set_robust_list", logged, at_once, {in, size}},
    {SYS_get_robust_list, "get_robust_list", logged, at_once, {process, out(8), out(8)}},
    {SYS_membarrier, "membarrier", logged, at_once, {integer, flags, integer}},
    {SYS_rseq, "rseq", refused, at_once, {in, size, flags, number}},
    {SYS_futex_waitv, "futex_waitv", logged, blocks, {in, number, flags, in, clock}},
};

}  // namespace

std::span<const Syscall> threads() {
  return kCalls;
}

}  // namespace heddle::rows
