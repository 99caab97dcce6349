// The system as a whole: its description, mounts, modules, and what heddle refuses by name.
#include <cstring>

#include "machine/syscalls/rows.h"

namespace heddle::rows {
namespace {

// Only the operations that read the log write to the buffer.
void syslog_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  const uint64_t type = call.arguments[0];
  if (call.result > 0 && type >= 2 && type <= 4)
    out.push_back({call.arguments[1], static_cast<uint64_t>(call.result)});
}

// Option 2 names a file system type: a string of unsaid length.
void sysfs_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result != 0 || call.arguments[0] != 2) return;
  if (const auto name = call.memory.string(call.arguments[2]))
    out.push_back({call.arguments[2], name->size() + 1});
}

std::string quota_taint(const CompletedCall& call) {
  return call.result < 0 ? "" : "quotactl: what it wrote is not captured";
}

constexpr Argument kSizes{Kind::size};

constexpr Syscall kCalls[] = {
    {SYS_uname, "uname", logged, at_once, {out(390)}},
    {SYS_sysinfo, "sysinfo", logged, at_once, {out(112)}},
    {SYS_syslog, "syslog", logged, blocks, {integer, by_command, size}, syslog_effects},
    {SYS_uselib, "uselib", refused, at_once, {path}},
    {SYS_sysfs, "sysfs", logged, at_once, {integer, number, by_command}, sysfs_effects},
    {SYS_vhangup, "vhangup", logged, at_once, {}},
    {SYS_modify_ldt, "modify_ldt", refused, at_once, {integer, in, size}},
    {SYS_pivot_root, "pivot_root", logged, at_once, {path, path}},
    {SYS__sysctl, "_sysctl", refused, at_once, {in}},
    {SYS_mount, "mount", logged, at_once, {path, path, text, flags, in}},
    {SYS_umount2, "umount2", logged, at_once, {path, flags}},
    {SYS_swapon, "swapon", logged, at_once, {path, flags}},
    {SYS_swapoff, "swapoff", logged, at_once, {path}},
    {SYS_reboot, "reboot", logged, at_once, {flags, flags, flags, text}},
    {SYS_sethostname, "sethostname", logged, at_once, {text, size}},
    {SYS_setdomainname, "setdomainname", logged, at_once, {text, size}},
    {SYS_iopl, "iopl", refused, at_once, {integer}},
    {SYS_ioperm, "ioperm", refused, at_once, {number, number, integer}},
    {SYS_create_module, "create_module", refused, at_once, {text, size}},
    {SYS_init_module, "init_module", logged, at_once, {in, size, text}},
    {SYS_delete_module, "delete_module", logged, at_once, {text, flags}},
    {SYS_get_kernel_syms, "get_kernel_syms", refused, at_once, {in}},
    {SYS_query_module, "query_module", refused, at_once, {text, integer, in, kSizes, in}},
    {SYS_quotactl,
     "quotactl",
     logged,
     at_once,
     {flags, path, integer, by_command},
     nullptr,
     quota_taint},
    {SYS_nfsservctl, "nfsservctl", refused, at_once, {integer, in, in}},
    {SYS_getpmsg, "getpmsg", refused, at_once, {}},
    {SYS_putpmsg, "putpmsg", refused, at_once, {}},
    {SYS_afs_syscall, "afs_syscall", refused, at_once, {}},
    {SYS_tuxcall, "tuxcall", refused, at_once, {}},
    {SYS_security, "security", refused, at_once, {}},
    {SYS_io_setup, "io_setup", refused, at_once, {number, in}},
    {SYS_io_destroy, "io_destroy", refused, at_once, {in}},
    {SYS_io_getevents, "io_getevents", refused, at_once, {in, integer, integer, in, in}},
    {SYS_io_submit, "io_submit", refused, at_once, {in, integer, in}},
    {SYS_io_cancel, "io_cancel", refused, at_once, {in, in, in}},
    {SYS_lookup_dcookie, "lookup_dcookie", refused, at_once, {number, in, size}},
    {SYS_epoll_ctl_old, "epoll_ctl_old", refused, at_once, {}},
    {SYS_epoll_wait_old, "epoll_wait_old", refused, at_once, {}},
    {SYS_vserver, "vserver", refused, at_once, {}},
    {SYS_kexec_load, "kexec_load", logged, at_once, {in, number, in, flags}},
    {SYS_perf_event_open, "perf_event_open", refused, at_once, {in, process, integer, fd, flags}},
    {SYS_finit_module, "finit_module", logged, at_once, {fd, text, flags}},
    {SYS_getrandom, "getrandom", logged, at_once, {bytes_out(1), size, flags}},
    {SYS_kexec_file_load, "kexec_file_load", logged, at_once, {fd, fd, size, text, flags}},
    {SYS_bpf, "bpf", refused, at_once, {integer, in, size}},
    {SYS_userfaultfd, "userfaultfd", refused, at_once, {open_flags}},
    {SYS_io_pgetevents, "io_pgetevents", refused, at_once, {in, integer, integer, in, in, in}},
    {SYS_io_uring_setup, "io_uring_setup", refused, at_once, {number, in}},
    {SYS_io_uring_enter, "io_uring_enter", refused, at_once, {fd, number, number, flags, in}},
    {SYS_io_uring_register, "io_uring_register", refused, at_once, {fd, number, in, number}},
    {SYS_open_tree, "open_tree", logged, at_once, {dirfd, path, flags}},
    {SYS_move_mount, "move_mount", logged, at_once, {dirfd, path, dirfd, path, flags}},
    {SYS_fsopen, "fsopen", logged, at_once, {text, flags}},
    {SYS_fsconfig, "fsconfig", logged, at_once, {fd, integer, text, in, integer}},
    {SYS_fsmount, "fsmount", logged, at_once, {fd, flags, flags}},
    {SYS_fspick, "fspick", logged, at_once, {dirfd, path, flags}},
    {SYS_mount_setattr, "mount_setattr", logged, at_once, {dirfd, path, flags, in, size}},
    {SYS_quotactl_fd,
     "quotactl_fd",
     logged,
     at_once,
     {fd, flags, integer, by_command},
     nullptr,
     quota_taint},
    {SYS_landlock_create_ruleset, "landlock_create_ruleset", logged, at_once, {in, size, flags}},
    {SYS_landlock_add_rule, "landlock_add_rule", logged, at_once, {fd, integer, in, flags}},
    {SYS_landlock_restrict_self, "landlock_restrict_self", logged, at_once, {fd, flags}},
};

}  // namespace

std::span<const Syscall> system() {
  return kCalls;
}

}  // namespace heddle::rows
