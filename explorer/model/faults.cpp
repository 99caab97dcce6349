#include "explorer/model/faults.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>

namespace heddle::model {

std::vector<Fault> memory_faults(const SyscallRequest& request) {
  switch (request.number) {
    case SYS_mmap:
      // One at a fixed place is part of something that has its memory: the stack of a thread, a
      // library.
      if (!(request.arguments[3] & MAP_ANONYMOUS) || (request.arguments[3] & MAP_FIXED)) return {};
      break;
    case SYS_mremap:
    case SYS_clone:
    case SYS_clone3:
      break;
    default:
      return {};
  }
  return {{FaultKind::no_memory, 0}};
}

SyscallAnswer without_memory(const SyscallRequest& request) {
  const bool clones = request.number == SYS_clone || request.number == SYS_clone3;
  return done(clones ? -EAGAIN : -ENOMEM);
}

std::vector<Fault> short_transfers(const SyscallRequest& request, const GuestMemory& memory) {
  const auto& a = request.arguments;
  switch (request.number) {
    case SYS_read:
    case SYS_write:
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_recvfrom:
    case SYS_sendto: {
      if (a[2] < 2 || a[2] > UINT32_MAX) return {};
      std::vector<Fault> faults{{FaultKind::short_transfer, 1}};
      const auto half = static_cast<uint32_t>(a[2] / 2);
      if (half > 1) faults.push_back({FaultKind::short_transfer, half});
      return faults;
    }
    case SYS_readv:
    case SYS_writev: {
      const auto first = memory.load<iovec>(a[1]);
      if (a[2] < 2 || !first || first->iov_len == 0 || first->iov_len > UINT32_MAX) return {};
      return {{FaultKind::short_transfer, static_cast<uint32_t>(first->iov_len)}};
    }
    default:
      return {};
  }
}

SyscallRequest shortened(const SyscallRequest& request, const Fault& fault) {
  SyscallRequest less = request;
  const bool several = request.number == SYS_readv || request.number == SYS_writev;
  less.arguments[2] = several ? 1 : fault.argument;
  return less;
}

bool waits_outside(uint64_t number) {
  switch (number) {
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_wait4:
    case SYS_waitid:
      return true;
    default:
      return false;
  }
}

}  // namespace heddle::model
