// Descriptors: reading and writing, duplicating, locking, pipes.
#include <fcntl.h>

#include "machine/syscalls/commands.h"
#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

void fcntl_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  const uint64_t at = call.arguments[2];
  switch (static_cast<int>(call.arguments[1])) {
    case F_GETLK:
    case F_OFD_GETLK:
      out.push_back({at, sizeof(struct flock)});
      break;
    case F_GETOWN_EX:
    case 17:  // F_GETOWNER_UIDS
    case F_GET_RW_HINT:
    case F_GET_FILE_RW_HINT:
      out.push_back({at, 8});
      break;
    default:
      break;
  }
}

constexpr Argument kFcntl{Kind::fcntl_command};
constexpr Argument kIoctl{Kind::ioctl_command};
constexpr Argument kWhence{Kind::whence};

constexpr Syscall kCalls[] = {
    {SYS_read, "read", logged, blocks, {fd, bytes_out(2), size}},
    {SYS_write, "write", logged, blocks, {fd, in, size}},
    {SYS_close, "close", logged, at_once, {fd}},
    {SYS_lseek, "lseek", logged, at_once, {fd, offset, kWhence}},
    {SYS_ioctl, "ioctl", logged, blocks, {fd, kIoctl, by_command}, ioctl_effects, ioctl_taint},
    {SYS_pread64, "pread64", logged, blocks, {fd, bytes_out(2), size, offset}},
    {SYS_pwrite64, "pwrite64", logged, blocks, {fd, in, size, offset}},
    {SYS_readv, "readv", logged, blocks, {fd, vector_out(2), number}},
    {SYS_writev, "writev", logged, blocks, {fd, in, number}},
    {SYS_pipe, "pipe", logged, at_once, {out(8)}},
    {SYS_dup, "dup", logged, at_once, {fd}},
    {SYS_dup2, "dup2", logged, at_once, {fd, fd}},
    {SYS_sendfile, "sendfile", logged, blocks, {fd, fd, out(8), size}},
    {SYS_fcntl, "fcntl", logged, blocks, {fd, kFcntl, by_command}, fcntl_effects},
    {SYS_flock, "flock", logged, blocks, {fd, flags}},
    {SYS_fsync, "fsync", logged, blocks, {fd}},
    {SYS_fdatasync, "fdatasync", logged, blocks, {fd}},
    {SYS_sync, "sync", logged, blocks, {}},
    {SYS_readahead, "readahead", logged, at_once, {fd, offset, size}},
    {SYS_fadvise64, "fadvise64", logged, at_once, {fd, offset, size, integer}},
    {SYS_splice, "splice", logged, blocks, {fd, out(8), fd, out(8), size, flags}},
    {SYS_tee, "tee", logged, blocks, {fd, fd, size, flags}},
    {SYS_sync_file_range, "sync_file_range", logged, blocks, {fd, offset, size, flags}},
    {SYS_vmsplice, "vmsplice", logged, blocks, {fd, vector_out(2), number, flags}},
    {SYS_fallocate, "fallocate", logged, at_once, {fd, mode, offset, offset}},
    {SYS_dup3, "dup3", logged, at_once, {fd, fd, open_flags}},
    {SYS_pipe2, "pipe2", logged, at_once, {out(8), open_flags}},
    {SYS_preadv, "preadv", logged, blocks, {fd, vector_out(2), number, offset, offset}},
    {SYS_pwritev, "pwritev", logged, blocks, {fd, in, number, offset, offset}},
    {SYS_syncfs, "syncfs", logged, blocks, {fd}},
    {SYS_memfd_create, "memfd_create", logged, at_once, {text, flags}},
    {SYS_copy_file_range, "copy_file_range", logged, blocks, {fd, out(8), fd, out(8), size, flags}},
    {SYS_preadv2, "preadv2", logged, blocks, {fd, vector_out(2), number, offset, offset, flags}},
    {SYS_pwritev2, "pwritev2", logged, blocks, {fd, in, number, offset, offset, flags}},
    {SYS_close_range, "close_range", logged, at_once, {fd, fd, flags}},
};

}  // namespace

std::span<const Syscall> descriptors() {
  return kCalls;
}

}  // namespace heddle::rows
