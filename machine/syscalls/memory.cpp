// The address space: mappings, protection, advice, residency, NUMA policy, System V shared memory.
#include <sys/ipc.h>
#include <sys/shm.h>

#include "machine/pages.h"
#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

// One byte a page.
void residency(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result == 0) out.push_back({call.arguments[2], page_up(call.arguments[1]) / kPage});
}

void shmctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  switch (call.arguments[1]) {
    case IPC_STAT:
    case SHM_STAT:
    case 15:  // SHM_STAT_ANY
      out.push_back({call.arguments[2], sizeof(shmid_ds)});
      break;
    case IPC_INFO:
      out.push_back({call.arguments[2], 72});  // struct shminfo64
      break;
    case SHM_INFO:
      out.push_back({call.arguments[2], 48});  // struct shm_info
      break;
    default:
      break;
  }
}

// The node mask has as many bits as the caller says, rounded up to words.
void memory_policy(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result != 0) return;
  out.push_back({call.arguments[0], kInt});
  const uint64_t bits = call.arguments[2];
  if (bits > 0) out.push_back({call.arguments[1], (bits - 1 + 63) / 64 * 8});
}

constexpr Argument kProtection{Kind::protection};
constexpr Argument kMapFlags{Kind::map_flags};
constexpr Argument kAdvice{Kind::advice};

constexpr Syscall kCalls[] = {
    {SYS_mmap, "mmap", performed, at_once, {in, size, kProtection, kMapFlags, fd, offset}},
    {SYS_mprotect, "mprotect", performed, at_once, {in, size, kProtection}},
    {SYS_munmap, "munmap", performed, at_once, {in, size}},
    {SYS_brk, "brk", performed, at_once, {in}},
    {SYS_mremap, "mremap", performed, at_once, {in, size, size, flags, in}},
    {SYS_msync, "msync", logged, blocks, {in, size, flags}},
    {SYS_mincore, "mincore", logged, at_once, {in, size, by_command}, residency},
    {SYS_madvise, "madvise", performed, at_once, {in, size, kAdvice}},
    {SYS_shmget, "shmget", logged, at_once, {integer, size, mode}},
    {SYS_shmat, "shmat", performed, at_once, {integer, in, flags}},
    {SYS_shmctl, "shmctl", logged, at_once, {integer, integer, by_command}, shmctl_effects},
    {SYS_shmdt, "shmdt", performed, at_once, {in}},
    {SYS_mlock, "mlock", logged, at_once, {in, size}},
    {SYS_munlock, "munlock", logged, at_once, {in, size}},
    {SYS_mlockall, "mlockall", logged, at_once, {flags}},
    {SYS_munlockall, "munlockall", logged, at_once, {}},
    {SYS_remap_file_pages, "remap_file_pages", refused, at_once, {in, size, flags, size, flags}},
    {SYS_mbind, "mbind", logged, at_once, {in, size, integer, in, size, flags}},
    {SYS_set_mempolicy, "set_mempolicy", logged, at_once, {integer, in, size}},
    {SYS_get_mempolicy,
     "get_mempolicy",
     logged,
     at_once,
     {by_command, by_command, size, in, flags},
     memory_policy},
    {SYS_migrate_pages, "migrate_pages", logged, at_once, {process, size, in, in}},
    {SYS_move_pages,
     "move_pages",
     logged,
     at_once,
     {process, number, in, in, array_out(kInt, 1), flags}},
    {SYS_mlock2, "mlock2", logged, at_once, {in, size, flags}},
    {SYS_pkey_mprotect, "pkey_mprotect", refused, at_once, {in, size, kProtection, integer}},
    {SYS_pkey_alloc, "pkey_alloc", refused, at_once, {flags, flags}},
    {SYS_pkey_free, "pkey_free", refused, at_once, {integer}},
    {SYS_process_madvise, "process_madvise", refused, at_once, {fd, in, number, kAdvice, flags}},
    {SYS_memfd_secret, "memfd_secret", refused, at_once, {flags}},
    {SYS_process_mrelease, "process_mrelease", logged, at_once, {fd, flags}},
    {SYS_set_mempolicy_home_node,
     "set_mempolicy_home_node",
     logged,
     at_once,
     {in, size, number, flags}},
};

}  // namespace

std::span<const Syscall> memory() {
  return kCalls;
}

}  // namespace heddle::rows
