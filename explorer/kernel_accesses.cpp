#include "explorer/kernel_accesses.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "explorer/model/recording.h"
#include "explorer/signal_accesses.h"
#include "machine/syscalls/effects.h"
#include "machine/syscalls/reads.h"

namespace heddle {
namespace {

// Beyond the canonical addresses of x86-64's lower half.
constexpr uint64_t kDescriptors = 0xfd00'0000'0000'0000;
constexpr uint64_t kMostDescriptors = 1 << 20;
constexpr uint64_t kProcesses = 0xfc00'0000'0000'0000;
constexpr uint64_t kMostProcesses = 1 << 22;  // PID_MAX_LIMIT
constexpr uint64_t kProcessBytes = 8;
// Of one range; what a call says it might touch may be more than there is.
constexpr uint64_t kMostBytes = 1 << 22;

// What changes the address space, or a thread's own state, reads and writes no data of the
// program's.
bool about_data(uint64_t number) {
  const auto* known = find(number);
  if (known && known->replay == Replay::performed) return false;
  switch (number) {
    case SYS_futex:
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork:
    case SYS_execve:
    case SYS_execveat:
    case SYS_arch_prctl:
    case SYS_set_tid_address:
    case SYS_set_robust_list:
    case SYS_get_robust_list:
    case SYS_rseq:
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask:
    case SYS_rt_sigreturn:
    case SYS_sigaltstack:
      return false;
    default:
      return true;
  }
}

bool duplicates(const event::Syscall& call) {
  return call.number == SYS_dup || call.number == SYS_dup2 || call.number == SYS_dup3 ||
         (call.number == SYS_fcntl &&
          (call.arguments[1] == F_DUPFD || call.arguments[1] == F_DUPFD_CLOEXEC));
}

// Whose number the call has freed.
std::optional<int64_t> waited_for(const event::Syscall& call) {
  const auto& a = call.arguments;
  if (call.number == SYS_wait4 && call.result > 0) return call.result;
  if (call.number != SYS_waitid || call.result != 0 || (a[3] & WNOWAIT)) return std::nullopt;
  for (const MemoryEffect& effect : call.effects) {
    int32_t pid = 0;
    if (effect.address != a[2] + 16 || effect.bytes.size() < sizeof pid) continue;
    std::memcpy(&pid, effect.bytes.data(), sizeof pid);
    if (pid != 0) return pid;
  }
  return std::nullopt;
}

// Whose number it may free, if it names one.
std::optional<int64_t> may_wait_for(const SyscallRequest& request) {
  const auto& a = request.arguments;
  if (request.number == SYS_wait4) return static_cast<int32_t>(a[0]);
  if (request.number == SYS_waitid && a[0] == P_PID && !(a[3] & WNOWAIT))
    return static_cast<int32_t>(a[1]);
  return std::nullopt;
}

class Accesses {
 public:
  void memory(uint64_t address, uint64_t size, AccessKind kind) {
    add({address, std::min(size, kMostBytes), kind});
  }
  void descriptor(uint64_t number, AccessKind kind) {
    const auto descriptor = static_cast<int>(number);
    if (descriptor >= 0 && static_cast<uint64_t>(descriptor) < kMostDescriptors)
      add({descriptor_location(descriptor), kDescriptorBytes, kind});
  }
  void process(int64_t pid, AccessKind kind) {
    if (pid > 0 && static_cast<uint64_t>(pid) < kMostProcesses)
      add({kProcesses + static_cast<uint64_t>(pid) * kProcessBytes, kProcessBytes, kind});
  }
  // To whom signals are sent.
  void recipient(uint64_t number, const SyscallArguments& a) {
    if (number == SYS_kill || number == SYS_rt_sigqueueinfo || number == SYS_pidfd_open)
      process(static_cast<int32_t>(a[0]), AccessKind::read);
  }
  // Those that the call's arguments name.
  void named(uint64_t number, const SyscallArguments& a, bool closes, const GuestMemory& memory) {
    if (const auto argument = model::descriptor_argument({number, a, {}}))
      descriptor(a[*argument], closes ? AccessKind::write : AccessKind::read);
    switch (number) {
      case SYS_dup2:
      case SYS_dup3:
        if (a[0] != a[1]) descriptor(a[1], AccessKind::write);
        break;
      case SYS_epoll_ctl:
        descriptor(a[2], AccessKind::read);
        break;
      case SYS_sendfile:
        descriptor(a[1], AccessKind::read);
        break;
      case SYS_copy_file_range:
      case SYS_splice:
        descriptor(a[2], AccessKind::read);
        break;
      case SYS_poll:
      case SYS_ppoll:
        for (uint64_t i = 0; i < std::min<uint64_t>(a[1], 1024); ++i)
          if (const auto entry = memory.load<pollfd>(a[0] + i * sizeof(pollfd)))
            descriptor(static_cast<uint64_t>(entry->fd), AccessKind::read);
        break;
      default:
        break;
    }
  }
  std::vector<KernelAccess> take() { return std::move(accesses_); }

 private:
  void add(const KernelAccess& access) {
    if (access.address == 0 || access.size == 0) return;
    if (std::ranges::count(accesses_, access) == 0) accesses_.push_back(access);
  }
  std::vector<KernelAccess> accesses_;
};

}  // namespace

uint64_t descriptor_location(int descriptor) {
  return kDescriptors + static_cast<uint64_t>(descriptor) * kDescriptorBytes;
}

std::optional<int> descriptor_at(uint64_t address) {
  if (address < kDescriptors || address >= kDescriptors + kMostDescriptors * kDescriptorBytes)
    return std::nullopt;
  return static_cast<int>((address - kDescriptors) / kDescriptorBytes);
}

std::optional<int32_t> process_at(uint64_t address) {
  if (address < kProcesses || address >= kProcesses + kMostProcesses * kProcessBytes)
    return std::nullopt;
  return static_cast<int32_t>((address - kProcesses) / kProcessBytes);
}

std::string location_name(uint64_t address, uint64_t size) {
  if (const auto pid = process_at(address)) return "number of process " + std::to_string(*pid);
  const auto descriptor = descriptor_at(address);
  return descriptor ? "descriptor " + std::to_string(*descriptor)
                    : signal_location_name(address, size);
}

std::vector<KernelAccess> kernel_accesses(const event::Syscall& call, const GuestMemory& memory) {
  if (!about_data(call.number)) {
    // The file that is mapped.
    Accesses mapped;
    if (call.number == SYS_mmap && !(call.arguments[3] & 0x20))
      mapped.descriptor(call.arguments[4], AccessKind::read);
    return mapped.take();
  }
  Accesses accesses;
  accesses.named(call.number, call.arguments, call.number == SYS_close && call.result != -EBADF,
                 memory);
  if (duplicates(call) && call.result >= 0)
    accesses.descriptor(static_cast<uint64_t>(call.result), AccessKind::write);
  accesses.recipient(call.number, call.arguments);
  if (const auto pid = waited_for(call)) accesses.process(*pid, AccessKind::write);
  for (const int made : model::made_descriptors(call))
    accesses.descriptor(static_cast<uint64_t>(made), AccessKind::write);
  const auto* known = find(call.number);
  if (known && known->replay == Replay::logged)
    for (const auto& range : reads(*known, call.arguments, call.result, memory))
      accesses.memory(range.address, range.size, AccessKind::read);
  for (const auto& effect : call.effects)
    accesses.memory(effect.address, effect.bytes.size(), AccessKind::write);
  return accesses.take();
}

std::vector<KernelAccess> coming_accesses(const SyscallRequest& request,
                                          const GuestMemory& memory) {
  if (!about_data(request.number)) return {};
  Accesses accesses;
  accesses.named(request.number, request.arguments, request.number == SYS_close, memory);
  accesses.recipient(request.number, request.arguments);
  if (const auto pid = may_wait_for(request)) accesses.process(*pid, AccessKind::write);
  if (const auto* known = find(request.number)) {
    const auto most = static_cast<int64_t>(std::min<uint64_t>(request.arguments[2], INT64_MAX));
    for (const auto& buffer : buffers(*known, request.arguments, memory))
      if (buffer.written) accesses.memory(buffer.address, buffer.size, AccessKind::write);
    for (const auto& range : reads(*known, request.arguments, most, memory))
      accesses.memory(range.address, range.size, AccessKind::read);
  }
  return accesses.take();
}

}  // namespace heddle
