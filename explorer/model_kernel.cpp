#include "explorer/model_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "machine/syscalls/effects.h"
#include "machine/syscalls/table.h"

namespace heddle {
namespace {

constexpr uint64_t kCallCost = 200;  // ns of virtual time

SyscallAnswer done(int64_t result, std::vector<MemoryEffect> effects = {}) {
  SyscallAnswer answer;
  answer.result = result;
  answer.effects = std::move(effects);
  return answer;
}

SyscallAnswer of_kind(SyscallAnswer::Kind kind) {
  SyscallAnswer answer;
  answer.kind = kind;
  return answer;
}

SyscallAnswer infeasible(std::string reason) {
  SyscallAnswer answer;
  answer.kind = SyscallAnswer::Kind::infeasible;
  answer.reason = std::move(reason);
  return answer;
}

template <typename T>
MemoryEffect effect(uint64_t address, const T& value) {
  MemoryEffect e{address, std::vector<uint8_t>(sizeof value)};
  std::memcpy(e.bytes.data(), &value, sizeof value);
  return e;
}

}  // namespace

ModelKernel::ModelKernel(std::shared_ptr<const std::vector<Event>> recording)
    : recording_(std::move(recording)), used_(recording_->size()), runnable_{1} {
  signals_.add_task(1, 0);
  for (const auto& event : *recording_) {
    const auto* call = std::get_if<event::Syscall>(&event.body);
    if (!call) continue;
    if (call->number == SYS_set_tid_address && event.place.task == 1 && !tids_.contains(1))
      tids_[1] = call->result;
    if (call->child != 0) tids_[call->child] = call->result;
  }
}

SyscallAnswer ModelKernel::answer(const SyscallRequest& request, const GuestMemory& memory) {
  const auto& a = request.arguments;
  const TaskId task = request.place.task;
  now_ += kCallCost;
  std::vector<MemoryEffect> effects;
  switch (request.number) {
    case SYS_futex:
      return futex(request, memory);
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
      return sleep(request, memory);
    case SYS_clone:
    case SYS_clone3:
      return clone(request, memory);
    case SYS_write:
    case SYS_writev:
      return write(request, memory);
    case SYS_sched_yield:
      std::erase(runnable_, task);
      runnable_.push_back(task);
      return done(0);
    case SYS_getpid:
      return done(tids_.contains(1) ? tids_.at(1) : 100001);
    case SYS_gettid:
      return done(tids_.contains(task) ? tids_.at(task) : 100000 + task);
    case SYS_set_tid_address:
      clear_tid_[task] = a[0];
      return done(tids_.contains(task) ? tids_.at(task) : 100000 + task);
    case SYS_set_robust_list:
      return done(0);
    case SYS_rseq:
    case SYS_io_uring_setup:
    case SYS_userfaultfd:
      return done(-ENOSYS);
    case SYS_arch_prctl:
      return done(a[0] == 0x1002 ? 0 : -EINVAL);  // ARCH_SET_FS
    case SYS_rt_sigreturn:
      return of_kind(SyscallAnswer::Kind::sigreturn);
    case SYS_rt_sigaction: {
      const auto result = signals_.rt_sigaction(a, memory, &effects);
      return done(result, std::move(effects));
    }
    case SYS_rt_sigprocmask: {
      const auto result = signals_.rt_sigprocmask(task, a, memory, &effects);
      return done(result, std::move(effects));
    }
    case SYS_sigaltstack: {
      const auto result = signals_.sigaltstack(task, a, 0, memory, &effects);
      return done(result, std::move(effects));
    }
    case SYS_tgkill: {
      for (const auto& [id, tid] : tids_) {
        if (tid != static_cast<int64_t>(a[1])) continue;
        SignalInfo info;
        info.number = static_cast<int32_t>(a[2]);
        const int32_t head[6] = {
            info.number, 0, -6 /* SI_TKILL */, 0, static_cast<int32_t>(a[0]), 0};
        std::memcpy(info.siginfo.data(), head, sizeof head);
        if (waiting_.contains(id)) return infeasible("a signal to a task that waits in a call");
        signals_.post(id, info);
        return done(0);
      }
      return done(-ESRCH);
    }
    case SYS_clock_gettime: {
      const bool wall = a[0] == CLOCK_REALTIME || a[0] == CLOCK_REALTIME_COARSE;
      const uint64_t t = now_ + (wall ? epoch_ : uint64_t{1'000'000'000'000});
      return done(0, {effect(a[1], timespec{static_cast<time_t>(t / 1'000'000'000),
                                            static_cast<long>(t % 1'000'000'000)})});
    }
    case SYS_brk:
    case SYS_mmap:
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_mremap:
    case SYS_madvise:
      if (request.number == SYS_mmap && !(a[3] & MAP_ANONYMOUS) && !file_of(request))
        return infeasible("mmap of a file that was not mapped in the recording");
      return of_kind(SyscallAnswer::Kind::perform);
    case SYS_exit: {
      SyscallAnswer answer = of_kind(SyscallAnswer::Kind::task_exit);
      answer.status = static_cast<int32_t>(a[0]);
      if (const auto it = clear_tid_.find(task); it != clear_tid_.end() && it->second != 0) {
        answer.effects.push_back(effect(it->second, uint32_t{0}));
        wake_futex(it->second, 1, ~0u);
      }
      std::erase(runnable_, task);
      signals_.remove_task(task);
      if (runnable_.empty() && waiting_.empty()) {
        answer.kind = SyscallAnswer::Kind::process_exit;
        answer.status = static_cast<int32_t>((a[0] & 0xff) << 8);
      }
      return answer;
    }
    case SYS_exit_group: {
      SyscallAnswer answer = of_kind(SyscallAnswer::Kind::process_exit);
      answer.status = static_cast<int32_t>((a[0] & 0xff) << 8);
      return answer;
    }
    default:
      return recorded(request);
  }
}

std::optional<FileRange> ModelKernel::file_of(const SyscallRequest& request) const {
  if (request.number != SYS_mmap || (request.arguments[3] & MAP_ANONYMOUS)) return std::nullopt;
  const auto& a = request.arguments;
  const event::Syscall* best = nullptr;
  for (const auto& event : *recording_) {
    const auto* call = std::get_if<event::Syscall>(&event.body);
    if (!call || call->number != SYS_mmap || !call->file) continue;
    const auto& b = call->arguments;
    // The same length, protection, descriptor and offset at the same code: the same mapping.
    if (b[1] == a[1] && b[2] == a[2] && b[4] == a[4] && b[5] == a[5]) {
      if (!best || event.place == request.place) best = call;
    }
  }
  return best ? best->file : std::nullopt;
}

SyscallAnswer ModelKernel::recorded(const SyscallRequest& request) {
  const TaskId task = request.place.task;
  const auto* known = find(request.number);
  const std::string name = known ? known->name : std::to_string(request.number);
  // The same call of the same task first, then of any task; with equal arguments where there is
  // one.
  size_t best = 0;
  int best_score = -1;
  for (size_t i = 0; i < recording_->size(); ++i) {
    if (used_[i]) continue;
    const Event& event = (*recording_)[i];
    const auto* call = std::get_if<event::Syscall>(&event.body);
    if (!call || call->number != request.number || call->interrupted) continue;
    int score = 0;
    if (event.place.pc == request.place.pc) score += 1;
    if (event.place.task == task) score += 2;
    if (call->arguments == request.arguments) score += 4;
    if (score > best_score) {
      best_score = score;
      best = i;
    }
  }
  if (best_score < 0) return infeasible("the recording has no further answer for " + name);
  used_[best] = true;
  const auto& call = std::get<event::Syscall>((*recording_)[best].body);
  auto effects = call.effects;
  for (auto& e : effects) {
    for (size_t i = 0; i < 6; ++i) {
      if (e.address != call.arguments[i]) continue;
      e.address = request.arguments[i];
      break;
    }
  }
  return done(call.result, std::move(effects));
}

SyscallAnswer ModelKernel::write(const SyscallRequest& request, const GuestMemory& memory) {
  const auto& a = request.arguments;
  if (a[0] != 1 && a[0] != 2) return recorded(request);
  std::string text;
  const auto take = [&](uint64_t address, uint64_t size) {
    const size_t at = text.size();
    text.resize(at + size);
    text.resize(at + memory.read(address, {reinterpret_cast<uint8_t*>(text.data()) + at, size}));
  };
  if (request.number == SYS_write) {
    take(a[1], a[2]);
  } else {
    for (uint64_t i = 0; i < a[2]; ++i)
      if (const auto part = memory.load<iovec>(a[1] + i * sizeof(iovec)))
        take(reinterpret_cast<uint64_t>(part->iov_base), part->iov_len);
  }
  (a[0] == 1 ? output_ : error_) += text;
  return done(static_cast<int64_t>(text.size()));
}

SyscallAnswer ModelKernel::clone(const SyscallRequest& request, const GuestMemory& memory) {
  const auto wanted = clone_arguments(request.number, request.arguments, memory);
  if (!wanted) return done(-EFAULT);
  if (!(wanted->flags & CLONE_VM) || !(wanted->flags & CLONE_THREAD))
    return infeasible("a new process");
  SyscallAnswer answer = of_kind(SyscallAnswer::Kind::new_task);
  const TaskId child = ++last_task_;
  if (!tids_.contains(child)) tids_[child] = tids_[1] + child;
  answer.child = child;
  answer.result = tids_.at(child);
  const auto tid = static_cast<uint32_t>(tids_.at(child));
  if (wanted->flags & CLONE_PARENT_SETTID)
    answer.effects.push_back(effect(wanted->parent_tid, tid));
  if (wanted->flags & CLONE_CHILD_SETTID) answer.effects.push_back(effect(wanted->child_tid, tid));
  if (wanted->flags & CLONE_CHILD_CLEARTID) clear_tid_[child] = wanted->child_tid;
  signals_.add_task(child, request.place.task);
  runnable_.push_back(child);
  return answer;
}

uint64_t ModelKernel::deadline(uint64_t address, bool absolute, const GuestMemory& memory) const {
  const auto t = memory.load<timespec>(address);
  if (!t) return ~uint64_t{0};
  const auto ns =
      static_cast<uint64_t>(t->tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t->tv_nsec);
  if (!absolute) return now_ + ns;
  const uint64_t base = ns >= epoch_ ? epoch_ : uint64_t{1'000'000'000'000};
  return ns > base ? ns - base : 0;
}

SyscallAnswer ModelKernel::sleep(const SyscallRequest& request, const GuestMemory& memory) {
  const auto& a = request.arguments;
  const bool clock = request.number == SYS_clock_nanosleep;
  Waiter waiter;
  waiter.deadline = deadline(clock ? a[2] : a[0], clock && (a[1] & TIMER_ABSTIME), memory);
  block(request.place.task, waiter);
  return of_kind(SyscallAnswer::Kind::blocks);
}

SyscallAnswer ModelKernel::futex(const SyscallRequest& request, const GuestMemory& memory) {
  const auto& a = request.arguments;
  const auto command = a[1] & FUTEX_CMD_MASK;
  const auto bits = static_cast<uint32_t>(a[5]);
  switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET: {
      const auto value = memory.load<uint32_t>(a[0]);
      if (!value) return done(-EFAULT);
      if (*value != static_cast<uint32_t>(a[2])) return done(-EAGAIN);
      Waiter waiter;
      waiter.address = a[0];
      if (command == FUTEX_WAIT_BITSET) waiter.bits = bits;
      if (a[3] != 0) waiter.deadline = deadline(a[3], command == FUTEX_WAIT_BITSET, memory);
      block(request.place.task, waiter);
      futex_queue_.push_back(request.place.task);
      return of_kind(SyscallAnswer::Kind::blocks);
    }
    case FUTEX_WAKE:
      return done(wake_futex(a[0], a[2], ~0u));
    case FUTEX_WAKE_BITSET:
      return done(wake_futex(a[0], a[2], bits));
    default:
      return infeasible("futex command " + std::to_string(command));
  }
}

int64_t ModelKernel::wake_futex(uint64_t address, uint64_t count, uint32_t bits) {
  int64_t woken = 0;
  const auto queue = futex_queue_;
  for (const TaskId task : queue) {
    const auto& waiter = waiting_.at(task);
    if (waiter.address != address || !(waiter.bits & bits)) continue;
    if (static_cast<uint64_t>(woken) >= count) break;
    wake(task, 0);
    ++woken;
  }
  return woken;
}

void ModelKernel::block(TaskId task, const Waiter& waiter) {
  std::erase(runnable_, task);
  waiting_[task] = waiter;
}

void ModelKernel::wake(TaskId task, int64_t result) {
  std::erase(futex_queue_, task);
  waiting_.erase(task);
  ended_calls_[task] = result;
  runnable_.push_back(task);
}

SyscallAnswer ModelKernel::collect(TaskId task) {
  const auto it = ended_calls_.find(task);
  if (it == ended_calls_.end()) throw std::logic_error("no ended call to collect");
  const int64_t result = it->second;
  ended_calls_.erase(it);
  return done(result);
}

void ModelKernel::ran(Ticks ticks) {
  now_ += ticks;
  // By deadline, so that the order does not depend on when it is looked at.
  while (true) {
    auto next = waiting_.end();
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it)
      if (it->second.deadline <= now_ &&
          (next == waiting_.end() || it->second.deadline < next->second.deadline))
        next = it;
    if (next == waiting_.end()) return;
    wake(next->first, next->second.address == 0 ? 0 : -ETIMEDOUT);
  }
}

bool ModelKernel::advance_time() {
  uint64_t first = ~uint64_t{0};
  for (const auto& [task, waiter] : waiting_) first = std::min(first, waiter.deadline);
  if (first == ~uint64_t{0}) return false;
  now_ = std::max(now_, first);
  ran(0);
  return true;
}

std::vector<TaskId> ModelKernel::sleepers() const {
  std::vector<TaskId> tasks;
  for (const auto& [task, waiter] : waiting_)
    if (waiter.deadline != ~uint64_t{0}) tasks.push_back(task);
  std::ranges::stable_sort(tasks, {}, [this](TaskId t) { return waiting_.at(t).deadline; });
  return tasks;
}

void ModelKernel::advance_to(TaskId sleeper) {
  const auto it = waiting_.find(sleeper);
  if (it == waiting_.end()) return;
  now_ = std::max(now_, it->second.deadline);
  ran(0);
}

std::string ModelKernel::deadlock_description() const {
  std::string text = "every task waits:";
  for (const auto& [task, waiter] : waiting_) {
    char line[64];
    std::snprintf(line, sizeof line, " task %u on futex 0x%llx;", task,
                  static_cast<unsigned long long>(waiter.address));
    text += line;
  }
  return text;
}

}  // namespace heddle
