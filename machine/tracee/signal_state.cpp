#include "machine/tracee/signal_state.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace heddle {
namespace {

constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}
constexpr uint64_t kUnblockable = (uint64_t{1} << (SIGKILL - 1)) | (uint64_t{1} << (SIGSTOP - 1));

// UAPI_SA_FLAGS: the kernel forgets the others.
constexpr uint64_t kFlags = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART |
                            SA_NODEFER | uint32_t{SA_RESETHAND} | 0x800 /* SA_EXPOSE_TAGBITS */ |
                            0x04000000 /* SA_RESTORER */;

struct WireStack {  // stack_t
  uint64_t sp;
  int32_t flags;
  int32_t padding;
  uint64_t size;
};

template <typename T>
MemoryEffect effect(uint64_t address, const T& value) {
  MemoryEffect e{address, std::vector<uint8_t>(sizeof value)};
  std::memcpy(e.bytes.data(), &value, sizeof value);
  return e;
}

// What an entry of the log says that its call took.
class TakenMemory : public GuestMemory {
 public:
  explicit TakenMemory(std::span<const uint8_t> entry) : entry_(entry) {}
  size_t read(uint64_t address, std::span<uint8_t> out) const override {
    heddle_log_entry entry;
    std::memcpy(&entry, entry_.data(), sizeof entry);
    size_t at = sizeof entry;
    for (uint32_t i = 0; i < entry.effects; ++i) {
      heddle_log_effect effect;
      std::memcpy(&effect, entry_.data() + at, sizeof effect);
      if (effect.kind == HEDDLE_EFFECT_TAKEN && effect.address == address &&
          effect.size >= out.size()) {
        std::memcpy(out.data(), entry_.data() + at + sizeof effect, out.size());
        return out.size();
      }
      at += heddle_effect_size(effect.size);
    }
    return 0;
  }
  bool write(uint64_t, std::span<const uint8_t>) override { return false; }

 private:
  std::span<const uint8_t> entry_;
};

std::deque<SignalInfo>::iterator lowest_deliverable(std::deque<SignalInfo>& queue, uint64_t mask) {
  auto best = queue.end();
  for (auto it = queue.begin(); it != queue.end(); ++it)
    if (!(mask & bit(it->number)) && (best == queue.end() || it->number < best->number)) best = it;
  return best;
}

}  // namespace

SignalState::Disposition SignalState::disposition(int signal) const {
  const uint64_t handler = action(signal).handler;
  if (signal != SIGKILL && signal != SIGSTOP) {
    if (handler == 1) return Disposition::ignore;
    if (handler != 0) return Disposition::handle;
  }
  return default_of(signal);
}

SignalState::Disposition SignalState::default_of(int signal) {
  switch (signal) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
      return Disposition::ignore;
    case SIGCONT:
      return Disposition::resume;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return Disposition::stop;
    case SIGQUIT:
    case SIGILL:
    case SIGABRT:
    case SIGFPE:
    case SIGSEGV:
    case SIGBUS:
    case SIGSYS:
    case SIGTRAP:
    case SIGXCPU:
    case SIGXFSZ:
      return Disposition::core;
    default:
      return Disposition::terminate;
  }
}

bool SignalState::interrupts(int signal, uint64_t mask) const {
  switch (disposition(signal)) {
    case Disposition::ignore:
    case Disposition::resume:
    case Disposition::stop:
      return false;
    default:
      return !(mask & bit(signal));
  }
}

void SignalState::set_mask(TaskId task, uint64_t mask) {
  tasks_.at(task).mask = mask & ~kUnblockable;
}

void SignalState::add_task(TaskId child, TaskId parent) {
  PerTask fresh;
  if (parent != 0) {
    fresh.mask = tasks_.at(parent).mask;
    fresh.fault = tasks_.at(parent).fault;
    fresh.stack.flags = SS_DISABLE;
  }
  tasks_[child] = fresh;
}

SignalState SignalState::forked(TaskId parent, TaskId child) const {
  SignalState copy;
  copy.actions_ = actions_;
  copy.tasks_[child] = tasks_.at(parent);
  copy.tasks_[child].pending.clear();
  return copy;
}

void SignalState::executed(TaskId task) {
  for (auto& action : actions_) action = {action.handler == 1 ? uint64_t{1} : uint64_t{0}, 0, 0, 0};
  auto& stack = tasks_.at(task).stack;
  stack.sp = stack.size = 0;
}

void SignalState::post(TaskId task, const SignalInfo& info) {
  // One that stops takes back one that continues, and the reverse, whoever they were for.
  const auto stops = [](int signal) {
    return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
  };
  const auto taken_back = [&](const SignalInfo& other) {
    return info.number == SIGCONT ? stops(other.number)
                                  : stops(info.number) && other.number == SIGCONT;
  };
  std::erase_if(shared_, taken_back);
  for (auto& [id, own] : tasks_) std::erase_if(own.pending, taken_back);
  auto& queue = task == 0 ? shared_ : tasks_.at(task).pending;
  if (info.number < 32)
    for (const auto& pending : queue)
      if (pending.number == info.number) return;
  queue.push_back(info);
}

template <typename Find>
std::optional<SignalInfo> SignalState::take_found(TaskId task, Find find) {
  auto& own = tasks_.at(task);
  for (auto* queue : {&own.pending, &shared_}) {
    const auto it = find(*queue, own.mask);
    if (it == queue->end()) continue;
    const SignalInfo info = *it;
    queue->erase(it);
    return info;
  }
  return std::nullopt;
}

std::optional<SignalInfo> SignalState::take(TaskId task) {
  return take_found(task, lowest_deliverable);
}

std::optional<SignalInfo> SignalState::take_first(TaskId task) {
  return take_found(task, [](std::deque<SignalInfo>& queue, uint64_t mask) {
    return std::ranges::find_if(queue,
                                [&](const SignalInfo& i) { return !(mask & bit(i.number)); });
  });
}

void SignalState::inherit(TaskId task, uint64_t blocked, uint64_t ignored) {
  add_task(task, 0);
  set_mask(task, blocked);
  for (int signal = 1; signal <= 64; ++signal)
    if (ignored & bit(signal)) actions_.at(static_cast<size_t>(signal)).handler = 1;
}

const std::deque<SignalInfo>& SignalState::pending(TaskId task) const {
  return task == 0 ? shared_ : tasks_.at(task).pending;
}

bool SignalState::deliverable(TaskId task) const {
  const PerTask& own = tasks_.at(task);
  const auto open = [&](const SignalInfo& info) { return !(own.mask & bit(info.number)); };
  return std::ranges::any_of(own.pending, open) || std::ranges::any_of(shared_, open);
}

bool SignalState::has_call(uint64_t number) {
  return number == SYS_rt_sigaction || number == SYS_rt_sigprocmask || number == SYS_sigaltstack;
}

std::optional<int64_t> SignalState::call(uint64_t number, TaskId task,
                                         const std::array<uint64_t, 6>& arguments, uint64_t rsp,
                                         const GuestMemory& memory,
                                         std::vector<MemoryEffect>* effects) {
  switch (number) {
    case SYS_rt_sigaction:
      return rt_sigaction(arguments, memory, effects);
    case SYS_rt_sigprocmask:
      return rt_sigprocmask(task, arguments, memory, effects);
    case SYS_sigaltstack:
      return sigaltstack(task, arguments, rsp, memory, effects);
    default:
      return std::nullopt;
  }
}

void SignalState::follow(std::span<const uint8_t> bytes) {
  heddle_log_entry entry;
  std::memcpy(&entry, bytes.data(), sizeof entry);
  if (entry.result != 0) return;
  std::vector<MemoryEffect> written;
  // It was allowed, so the stack that rsp was on is not the alternate one.
  const auto result = call(entry.number, entry.task, std::to_array(entry.arguments), 0,
                           TakenMemory(bytes), &written);
  if (result && *result != entry.result)
    throw std::logic_error("task " + std::to_string(entry.task) + ": system call " +
                           std::to_string(entry.number) + " on its signals was logged with " +
                           std::to_string(entry.result) + ", and gives " + std::to_string(*result));
}

int64_t SignalState::rt_sigaction(const std::array<uint64_t, 6>& a, const GuestMemory& memory,
                                  std::vector<MemoryEffect>* effects) {
  const auto signal = static_cast<int>(a[0]);
  if (signal < 1 || signal > 64 || a[3] != 8) return -EINVAL;
  std::optional<SignalAction> wanted;
  if (a[1] != 0) {
    if (signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
    wanted = memory.load<SignalAction>(a[1]);
    if (!wanted) return -EFAULT;
  }
  if (a[2] != 0) effects->push_back(effect(a[2], action(signal)));
  if (wanted) {
    wanted->mask &= ~kUnblockable;
    wanted->flags &= kFlags;
    set_action(signal, *wanted);
    if (disposition(signal) == Disposition::ignore) {
      std::erase_if(shared_, [&](const SignalInfo& i) { return i.number == signal; });
      for (auto& [id, each] : tasks_)
        std::erase_if(each.pending, [&](const SignalInfo& i) { return i.number == signal; });
    }
  }
  return 0;
}

int64_t SignalState::rt_sigprocmask(TaskId task, const std::array<uint64_t, 6>& a,
                                    const GuestMemory& memory, std::vector<MemoryEffect>* effects) {
  if (a[3] != 8) return -EINVAL;
  const uint64_t old = mask(task);
  if (a[1] != 0) {
    const auto set = memory.load<uint64_t>(a[1]);
    if (!set) return -EFAULT;
    switch (static_cast<int>(a[0])) {
      case SIG_BLOCK:
        set_mask(task, old | *set);
        break;
      case SIG_UNBLOCK:
        set_mask(task, old & ~*set);
        break;
      case SIG_SETMASK:
        set_mask(task, *set);
        break;
      default:
        return -EINVAL;
    }
  }
  if (a[2] != 0) effects->push_back(effect(a[2], old));
  return 0;
}

int64_t SignalState::change_alternate_stack(TaskId task, const AlternateStack& wanted,
                                            uint64_t rsp) {
  auto& stack = tasks_.at(task).stack;
  if (stack.holds(rsp) && !stack.disarms()) return -EPERM;
  const int32_t mode = wanted.flags & 0x7fffffff;
  if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return -EINVAL;
  if (wanted == stack) return 0;
  if (mode == SS_DISABLE) {
    stack = {0, wanted.flags, 0};
    return 0;
  }
  constexpr uint64_t kMinimum = 2048;  // MINSIGSTKSZ
  if (wanted.size < kMinimum) return -ENOMEM;
  stack = wanted;
  return 0;
}

int64_t SignalState::sigaltstack(TaskId task, const std::array<uint64_t, 6>& a, uint64_t rsp,
                                 const GuestMemory& memory, std::vector<MemoryEffect>* effects) {
  const auto& stack = alternate_stack(task);
  const uint32_t state = stack.size == 0                        ? SS_DISABLE
                         : stack.holds(rsp) && !stack.disarms() ? SS_ONSTACK
                                                                : 0;
  const WireStack old{stack.sp, static_cast<int32_t>(state | (stack.disarms() ? 0x80000000u : 0)),
                      0, stack.size};
  if (a[0] != 0) {
    const auto wanted = memory.load<WireStack>(a[0]);
    if (!wanted) return -EFAULT;
    const int64_t result =
        change_alternate_stack(task, {wanted->sp, wanted->flags, wanted->size}, rsp);
    if (result != 0) return result;
  }
  if (a[1] != 0) effects->push_back(effect(a[1], old));
  return 0;
}

void SignalState::entered_handler(TaskId task, int signal) {
  auto& now = tasks_.at(task);
  const auto& taken = action(signal);
  now.mask |= taken.mask;
  if (!(taken.flags & SA_NODEFER)) now.mask |= bit(signal);
  now.mask &= ~kUnblockable;
  if (now.stack.disarms()) now.stack = {0, SS_DISABLE, 0};
  if (taken.flags & SA_RESETHAND) actions_.at(static_cast<size_t>(signal)).handler = 0;
}

}  // namespace heddle
