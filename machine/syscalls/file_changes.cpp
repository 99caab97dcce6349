#include "machine/syscalls/file_changes.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/syscall.h>

namespace heddle {
namespace {

using Where = FileChange::Where;

FileChange change(uint64_t descriptor, Where where, uint64_t offset = 0, uint64_t size = 0) {
  return {static_cast<int>(descriptor), 0, where, offset, size};
}

// To where the descriptor stood, or to the offset that the call moved on.
FileChange copied(uint64_t descriptor, uint64_t offset_at, uint64_t size,
                  const GuestMemory& memory) {
  if (offset_at == 0) return change(descriptor, Where::before, 0, size);
  return change(descriptor, Where::at, memory.load<uint64_t>(offset_at).value_or(size) - size,
                size);
}

}  // namespace

std::optional<FileChange> file_change(const Syscall& call, const SyscallArguments& a,
                                      int64_t result, const GuestMemory& memory) {
  if (result < 0) return std::nullopt;
  const auto n = static_cast<uint64_t>(result);
  switch (call.number) {
    case SYS_write:
    case SYS_writev:
    case SYS_sendfile:
      if (n > 0) return change(a[0], Where::before, 0, n);
      return std::nullopt;
    case SYS_pwrite64:
    case SYS_pwritev:
      if (n > 0) return change(a[0], Where::at, a[3], n);
      return std::nullopt;
    case SYS_pwritev2:
      if (n == 0) return std::nullopt;
      if (a[3] == ~uint64_t{0}) return change(a[0], Where::before, 0, n);
      return change(a[0], a[5] & RWF_APPEND ? Where::all : Where::at, a[3], n);
    case SYS_splice:
    case SYS_copy_file_range:
      if (n > 0) return copied(a[2], a[3], n, memory);
      return std::nullopt;
    case SYS_ftruncate:
      return change(a[0], Where::resize);
    case SYS_truncate:
      return FileChange{-1, a[0], Where::resize, 0, 0};
    case SYS_creat:
      return change(n, Where::resize);
    case SYS_open:
      if (a[1] & O_TRUNC) return change(n, Where::resize);
      return std::nullopt;
    case SYS_openat:
      if (a[2] & O_TRUNC) return change(n, Where::resize);
      return std::nullopt;
    case SYS_openat2:
      if (memory.load<uint64_t>(a[2]).value_or(0) & O_TRUNC) return change(n, Where::resize);
      return std::nullopt;
    case SYS_fallocate: {
      const auto mode = a[1] & ~uint64_t{FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE};
      if (mode == 0) return change(a[0], Where::resize);
      if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return change(a[0], Where::at, a[2], a[3]);
      return change(a[0], Where::all);
    }
    case SYS_ioctl:
      if (a[1] == FICLONE || a[1] == FICLONERANGE) return change(a[0], Where::all);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

bool loses_contents(uint64_t advice) {
  return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE ||
         advice == MADV_DONTNEED_LOCKED;
}

}  // namespace heddle
