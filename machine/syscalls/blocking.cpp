// Which calls may wait, and which make new tasks.
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "machine/syscalls/commands.h"
#include "machine/syscalls/effects.h"

namespace heddle {
namespace {

// A time limit of zero at `address` (timespec or timeval; null: no limit).
bool no_time(uint64_t address, const GuestMemory& memory) {
  struct Time {
    int64_t seconds, fraction;
  };
  const auto limit = memory.load<Time>(address);
  return address != 0 && limit && limit->seconds == 0 && limit->fraction == 0;
}

}  // namespace

bool may_block(const Syscall& call, const SyscallArguments& a, const GuestMemory& memory) {
  if (!call.may_block) return false;
  switch (call.number) {
    case SYS_futex: {
      const auto command = a[1] & FUTEX_CMD_MASK;
      return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI ||
             command == FUTEX_LOCK_PI2 || command == FUTEX_WAIT_REQUEUE_PI;
    }
    case SYS_fcntl:
      return a[1] == F_SETLKW || a[1] == F_OFD_SETLKW;
    case SYS_ioctl:
      // Draining a terminal waits; so may a command that is not known.
      return a[1] == TCSETSW || a[1] == TCSETSF || a[1] == TCSBRK || a[1] == TCSBRKP ||
             !ioctl_name(a[1]);
    case SYS_flock:
      return !(a[1] & LOCK_NB);
    case SYS_poll:
      return static_cast<int>(a[2]) != 0;
    case SYS_ppoll:
      return !no_time(a[2], memory);
    case SYS_select:
    case SYS_pselect6:
      return !no_time(a[4], memory);
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return static_cast<int>(a[3]) != 0;
    case SYS_epoll_pwait2:
      return !no_time(a[3], memory);
    case SYS_rt_sigtimedwait:
      return !no_time(a[2], memory);
    case SYS_wait4:
      return !(a[2] & WNOHANG);
    case SYS_waitid:
      return !(a[3] & WNOHANG);
    case SYS_recvfrom:
    case SYS_sendto:
    case SYS_recvmmsg:
    case SYS_sendmmsg:
      return !(a[3] & MSG_DONTWAIT);
    case SYS_recvmsg:
    case SYS_sendmsg:
      return !(a[2] & MSG_DONTWAIT);
    default:
      return true;
  }
}

bool only_sleeps(const Syscall& call) {
  switch (call.number) {
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_pause:
    case SYS_rt_sigsuspend:
      return true;
    default:
      return false;
  }
}

bool transfers_data(const Syscall& call) {
  switch (call.number) {
    case SYS_read:
    case SYS_write:
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_readv:
    case SYS_writev:
    case SYS_preadv:
    case SYS_pwritev:
    case SYS_preadv2:
    case SYS_pwritev2:
      return true;
    default:
      return false;
  }
}

std::optional<CloneArguments> clone_arguments(uint64_t number, const SyscallArguments& a,
                                              const GuestMemory& memory) {
  CloneArguments clone;
  if (number == SYS_clone) {
    clone.flags = a[0];
    clone.stack = a[1];
    clone.parent_tid = a[2];
    clone.child_tid = a[3];
    clone.tls = a[4];
    clone.pidfd = a[2];
    return clone;
  }
  if (number == SYS_fork) return clone;
  if (number == SYS_vfork) {
    clone.flags = CLONE_VM | CLONE_VFORK;
    return clone;
  }
  if (number != SYS_clone3) return std::nullopt;
  struct Wire {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
  };
  const auto wire = memory.load<Wire>(a[0]);
  if (!wire) return std::nullopt;
  clone.flags = wire->flags;
  clone.stack = wire->stack == 0 ? 0 : wire->stack + wire->stack_size;
  clone.parent_tid = wire->parent_tid;
  clone.child_tid = wire->child_tid;
  clone.tls = wire->tls;
  clone.pidfd = wire->pidfd;
  return clone;
}

}  // namespace heddle
