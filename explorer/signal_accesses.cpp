#include "explorer/signal_accesses.h"

#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>

namespace heddle {
namespace {

// Beside kDescriptors of kernel_accesses.cpp.
constexpr uint64_t kSignals = 0xfe00'0000'0000'0000;
constexpr uint64_t kSet = 64;  // bytes: signal n is byte n - 1
constexpr uint64_t kDispositions = kSignals;
constexpr uint64_t kMasks = kSignals + 0x1'0000'0000;    // by task
constexpr uint64_t kPending = kSignals + 0x2'0000'0000;  // by task; 0: the process
constexpr uint64_t kEnd = kSignals + 0x3'0000'0000;

bool is_signal(uint64_t number) {
  return number >= 1 && number <= kSet;
}

class Accesses {
 public:
  void signal(uint64_t set, uint64_t number, AccessKind kind) {
    if (is_signal(number)) accesses_.push_back({set + number - 1, 1, kind});
  }
  // Those that are in `signals`, in as few ranges as there are.
  void signals(uint64_t set, uint64_t signals, AccessKind kind) {
    for (uint64_t first = 0; first < kSet;) {
      if (!(signals >> first & 1)) {
        ++first;
        continue;
      }
      uint64_t end = first;
      while (end < kSet && (signals >> end & 1)) ++end;
      accesses_.push_back({set + first, end - first, kind});
      first = end;
    }
  }
  void sent(uint64_t number, TaskId to, const SignalOwners& owners) {
    for (const TaskId task : owners.tasks)
      if (to == 0 || to == task) signal(kMasks + task * kSet, number, AccessKind::read);
    signal(kPending + to * kSet, number, AccessKind::write);
  }
  // What is there for the task, of these.
  void looked_at(TaskId task, uint64_t set) {
    signals(kPending + task * kSet, set, AccessKind::read);
    signals(kPending, set, AccessKind::read);
  }
  std::vector<KernelAccess> take() { return std::move(accesses_); }

 private:
  std::vector<KernelAccess> accesses_;
};

}  // namespace

std::vector<KernelAccess> signal_accesses(TaskId task, uint64_t number, const SyscallArguments& a,
                                          const SignalOwners& owners, const GuestMemory& memory) {
  Accesses accesses;
  const auto of_tid = [&](uint64_t tid) {
    const auto found = owners.by_tid.find(static_cast<int32_t>(tid));
    return found == owners.by_tid.end() ? TaskId{0} : found->second;
  };
  switch (number) {
    case SYS_rt_sigaction:
      accesses.signal(kDispositions, a[0], a[1] != 0 ? AccessKind::write : AccessKind::read);
      break;
    case SYS_rt_sigprocmask:
      if (a[1] == 0) break;
      accesses.signals(kMasks + task * kSet,
                       a[0] == SIG_SETMASK ? ~uint64_t{0} : memory.load<uint64_t>(a[1]).value_or(0),
                       AccessKind::write);
      break;
    case SYS_rt_sigpending:
    case SYS_pause:
      accesses.looked_at(task, ~uint64_t{0});
      break;
    case SYS_rt_sigsuspend:
      accesses.looked_at(task, ~memory.load<uint64_t>(a[0]).value_or(~uint64_t{0}));
      break;
    case SYS_rt_sigtimedwait:
      accesses.looked_at(task, memory.load<uint64_t>(a[0]).value_or(0));
      break;
    case SYS_kill:
    case SYS_rt_sigqueueinfo:
      // To another process: see kernel_accesses.h.
      if (static_cast<int32_t>(a[0]) > 0 && of_tid(a[0]) == 0) break;
      accesses.sent(a[1], 0, owners);
      break;
    case SYS_tkill:
      accesses.sent(a[1], of_tid(a[0]), owners);
      break;
    case SYS_tgkill:
    case SYS_rt_tgsigqueueinfo:
      accesses.sent(a[2], of_tid(a[1]), owners);
      break;
    default:
      break;
  }
  return accesses.take();
}

std::vector<KernelAccess> delivery_accesses(TaskId task, int32_t signal) {
  Accesses accesses;
  const auto number = static_cast<uint64_t>(signal);
  accesses.signal(kDispositions, number, AccessKind::read);
  accesses.signal(kMasks + task * kSet, number, AccessKind::read);
  return accesses.take();
}

bool about_signals(uint64_t number) {
  switch (number) {
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask:
    case SYS_rt_sigpending:
    case SYS_pause:
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_kill:
    case SYS_rt_sigqueueinfo:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_tgsigqueueinfo:
      return true;
    default:
      return false;
  }
}

bool is_signal_location(uint64_t address) {
  return address >= kSignals && address < kEnd;
}

std::string signal_location_name(uint64_t address, uint64_t size) {
  if (!is_signal_location(address)) return {};
  const bool one = size <= 1;
  const std::string signal = one ? "signal " + std::to_string(address % kSet + 1) : "signals";
  if (address < kMasks) return (one ? "disposition of " : "dispositions of ") + signal;
  if (address < kPending) {
    const std::string mask = "mask of thread " + std::to_string((address - kMasks) / kSet);
    return one ? signal + " in the " + mask : mask;
  }
  const uint64_t owner = (address - kPending) / kSet;
  return "pending " + signal + " of " +
         (owner == 0 ? "the process" : "thread " + std::to_string(owner));
}

}  // namespace heddle
