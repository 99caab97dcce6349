// Files by name: opening, metadata, directories, extended attributes.
#include <errno.h>

#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

// struct file_handle: its size is in its first word; too small a one is told so by EOVERFLOW.
void file_handle(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result != 0 && call.result != -EOVERFLOW) return;
  const auto bytes = call.result == 0 ? call.memory.load<uint32_t>(call.arguments[2]) : 0;
  out.push_back({call.arguments[2], 8 + uint64_t{bytes.value_or(0)}});
  out.push_back({call.arguments[3], kInt});
}

constexpr Syscall kCalls[] = {
    {SYS_open, "open", logged, blocks, {path, open_flags, mode}},
    {SYS_stat, "stat", logged, at_once, {path, out(kStat)}},
    {SYS_fstat, "fstat", logged, at_once, {fd, out(kStat)}},
    {SYS_lstat, "lstat", logged, at_once, {path, out(kStat)}},
    {SYS_access, "access", logged, at_once, {path, {Kind::access_mode}}},
    {SYS_truncate, "truncate", logged, at_once, {path, offset}},
    {SYS_ftruncate, "ftruncate", logged, at_once, {fd, offset}},
    {SYS_getdents, "getdents", logged, at_once, {fd, bytes_out(2), size}},
    {SYS_getcwd, "getcwd", logged, at_once, {bytes_out(1), size}},
    {SYS_chdir, "chdir", logged, at_once, {path}},
    {SYS_fchdir, "fchdir", logged, at_once, {fd}},
    {SYS_rename, "rename", logged, at_once, {path, path}},
    {SYS_mkdir, "mkdir", logged, at_once, {path, mode}},
    {SYS_rmdir, "rmdir", logged, at_once, {path}},
    {SYS_creat, "creat", logged, blocks, {path, mode}},
    {SYS_link, "link", logged, at_once, {path, path}},
    {SYS_unlink, "unlink", logged, at_once, {path}},
    {SYS_symlink, "symlink", logged, at_once, {text, path}},
    {SYS_readlink, "readlink", logged, at_once, {path, bytes_out(2), size}},
    {SYS_chmod, "chmod", logged, at_once, {path, mode}},
    {SYS_fchmod, "fchmod", logged, at_once, {fd, mode}},
    {SYS_chown, "chown", logged, at_once, {path, integer, integer}},
    {SYS_fchown, "fchown", logged, at_once, {fd, integer, integer}},
    {SYS_lchown, "lchown", logged, at_once, {path, integer, integer}},
    {SYS_umask, "umask", logged, at_once, {mode}},
    {SYS_utime, "utime", logged, at_once, {path, in}},
    {SYS_mknod, "mknod", logged, at_once, {path, mode, number}},
    {SYS_ustat, "ustat", logged, at_once, {number, out(32)}},
    {SYS_statfs, "statfs", logged, at_once, {path, out(kStatfs)}},
    {SYS_fstatfs, "fstatfs", logged, at_once, {fd, out(kStatfs)}},
    {SYS_chroot, "chroot", logged, at_once, {path}},
    {SYS_setxattr, "setxattr", logged, at_once, {path, text, in, size, flags}},
    {SYS_lsetxattr, "lsetxattr", logged, at_once, {path, text, in, size, flags}},
    {SYS_fsetxattr, "fsetxattr", logged, at_once, {fd, text, in, size, flags}},
    {SYS_getxattr, "getxattr", logged, at_once, {path, text, bytes_out(3), size}},
    {SYS_lgetxattr, "lgetxattr", logged, at_once, {path, text, bytes_out(3), size}},
    {SYS_fgetxattr, "fgetxattr", logged, at_once, {fd, text, bytes_out(3), size}},
    {SYS_listxattr, "listxattr", logged, at_once, {path, bytes_out(2), size}},
    {SYS_llistxattr, "llistxattr", logged, at_once, {path, bytes_out(2), size}},
    {SYS_flistxattr, "flistxattr", logged, at_once, {fd, bytes_out(2), size}},
    {SYS_removexattr, "removexattr", logged, at_once, {path, text}},
    {SYS_lremovexattr, "lremovexattr", logged, at_once, {path, text}},
    {SYS_fremovexattr, "fremovexattr", logged, at_once, {fd, text}},
    {SYS_getdents64, "getdents64", logged, at_once, {fd, bytes_out(2), size}},
    {SYS_utimes, "utimes", logged, at_once, {path, in}},
    {SYS_inotify_init, "inotify_init", logged, at_once, {}},
    {SYS_inotify_add_watch, "inotify_add_watch", logged, at_once, {fd, path, flags}},
    {SYS_inotify_rm_watch, "inotify_rm_watch", logged, at_once, {fd, integer}},
    {SYS_openat, "openat", logged, blocks, {dirfd, path, open_flags, mode}},
    {SYS_mkdirat, "mkdirat", logged, at_once, {dirfd, path, mode}},
    {SYS_mknodat, "mknodat", logged, at_once, {dirfd, path, mode, number}},
    {SYS_fchownat, "fchownat", logged, at_once, {dirfd, path, integer, integer, at_flags}},
    {SYS_futimesat, "futimesat", logged, at_once, {dirfd, path, in}},
    {SYS_newfstatat, "newfstatat", logged, at_once, {dirfd, path, out(kStat), at_flags}},
    {SYS_unlinkat, "unlinkat", logged, at_once, {dirfd, path, at_flags}},
    {SYS_renameat, "renameat", logged, at_once, {dirfd, path, dirfd, path}},
    {SYS_linkat, "linkat", logged, at_once, {dirfd, path, dirfd, path, at_flags}},
    {SYS_symlinkat, "symlinkat", logged, at_once, {text, dirfd, path}},
    {SYS_readlinkat, "readlinkat", logged, at_once, {dirfd, path, bytes_out(3), size}},
    {SYS_fchmodat, "fchmodat", logged, at_once, {dirfd, path, mode}},
    {SYS_faccessat, "faccessat", logged, at_once, {dirfd, path, {Kind::access_mode}}},
    {SYS_utimensat, "utimensat", logged, at_once, {dirfd, path, in, at_flags}},
    {SYS_inotify_init1, "inotify_init1", logged, at_once, {open_flags}},
    {SYS_fanotify_init, "fanotify_init", logged, at_once, {flags, open_flags}},
    {SYS_fanotify_mark, "fanotify_mark", logged, at_once, {fd, flags, flags, dirfd, path}},
    {SYS_name_to_handle_at,
     "name_to_handle_at",
     logged,
     at_once,
     {dirfd, path, by_command, by_command, at_flags},
     file_handle},
    {SYS_open_by_handle_at, "open_by_handle_at", logged, at_once, {dirfd, in, open_flags}},
    {SYS_renameat2, "renameat2", logged, at_once, {dirfd, path, dirfd, path, flags}},
    {SYS_statx, "statx", logged, at_once, {dirfd, path, at_flags, flags, out(kStatx)}},
    {SYS_openat2, "openat2", logged, blocks, {dirfd, path, in, size}},
    {SYS_faccessat2, "faccessat2", logged, at_once, {dirfd, path, {Kind::access_mode}, at_flags}},
};

}  // namespace

std::span<const Syscall> files() {
  return kCalls;
}

}  // namespace heddle::rows
