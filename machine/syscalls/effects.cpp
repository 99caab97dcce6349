#include "machine/syscalls/effects.h"

#include <asm/ioctl.h>
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>

namespace heddle {
namespace {

// Bytes that an ioctl writes through its third argument.
uint64_t ioctl_output(uint64_t command) {
  switch (command) {
    case TCGETS:
      return 36;  // struct termios of the kernel
    case TIOCGWINSZ:
      return 8;
    case TIOCGPGRP:
    case FIONREAD:
      return 4;
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TIOCSWINSZ:
    case TIOCSPGRP:
    case FIONBIO:
      return 0;
    default:
      return _IOC_DIR(command) & _IOC_READ ? _IOC_SIZE(command) : 0;
  }
}

class Collector {
 public:
  Collector(const GuestMemory& memory, std::vector<MemoryEffect>& out)
      : memory_(memory), out_(out) {}

  void add(uint64_t address, uint64_t size) {
    if (address == 0 || size == 0) return;
    MemoryEffect effect{address, std::vector<uint8_t>(size)};
    effect.bytes.resize(memory_.read(address, effect.bytes));
    if (!effect.bytes.empty()) out_.push_back(std::move(effect));
  }

  void add_vector(uint64_t vector, uint64_t count, uint64_t bytes) {
    for (uint64_t i = 0; i < count && bytes > 0; ++i) {
      const auto part = memory_.load<iovec>(vector + i * sizeof(iovec));
      if (!part) return;
      const uint64_t n = std::min<uint64_t>(bytes, part->iov_len);
      add(reinterpret_cast<uint64_t>(part->iov_base), n);
      bytes -= n;
    }
  }

 private:
  const GuestMemory& memory_;
  std::vector<MemoryEffect>& out_;
};

}  // namespace

std::vector<MemoryEffect> collect_effects(const Syscall& call, const SyscallArguments& a,
                                          int64_t result, const GuestMemory& memory) {
  std::vector<MemoryEffect> effects;
  Collector collect(memory, effects);
  const bool failed = result < 0;
  // A sleep that a signal ends tells what was left.
  if (failed && call.number != SYS_nanosleep && call.number != SYS_clock_nanosleep) return effects;
  if (call.number == SYS_ioctl) collect.add(a[2], ioctl_output(a[1]));
  if (call.number == SYS_fcntl && (a[1] == F_GETLK || a[1] == F_OFD_GETLK)) collect.add(a[2], 32);
  if (call.number == SYS_prctl && a[0] == PR_GET_NAME) collect.add(a[1], 16);
  const auto count = static_cast<uint64_t>(failed ? 0 : result);
  for (const auto& output : call.outputs) {
    const uint64_t at = a[output.index];
    if (at == 0) continue;
    switch (output.extent) {
      case Extent::fixed:
        collect.add(at, output.unit);
        break;
      case Extent::result:
        collect.add(at, count);
        break;
      case Extent::elements:
        collect.add(at, output.unit * a[output.other]);
        break;
      case Extent::returned:
        collect.add(at, output.unit * count);
        break;
      case Extent::vector:
        collect.add_vector(at, a[output.other], count);
        break;
      case Extent::sized:
        collect.add(at,
                    std::min<uint32_t>(memory.load<uint32_t>(a[output.other]).value_or(0), 256));
        break;
      case Extent::message:
        if (const auto header = memory.load<msghdr>(at)) {
          collect.add(at, sizeof *header);
          collect.add(reinterpret_cast<uint64_t>(header->msg_name), header->msg_namelen);
          collect.add(reinterpret_cast<uint64_t>(header->msg_control), header->msg_controllen);
          collect.add_vector(reinterpret_cast<uint64_t>(header->msg_iov), header->msg_iovlen,
                             count);
        }
        break;
    }
  }
  return effects;
}

bool may_block(const Syscall& call, const SyscallArguments& a) {
  if (call.number == SYS_futex) {
    const auto command = a[1] & FUTEX_CMD_MASK;
    return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI ||
           command == FUTEX_WAIT_REQUEUE_PI;
  }
  return call.may_block;
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
    clone.flags = 0x4100;  // CLONE_VM, CLONE_VFORK
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
