// Making processes: the part of ModelKernel that answers children until they execute a program.
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>

#include "explorer/model/answers.h"
#include "explorer/model/virtual_time.h"
#include "explorer/model_kernel.h"

namespace heddle {

using model::done;
using model::infeasible;
using model::of_kind;

namespace {

int32_t exit_signal_of(const SyscallRequest& request, const GuestMemory& memory) {
  constexpr uint64_t kExitSignal = 32;  // struct clone_args (uapi/linux/sched.h)
  if (request.number == SYS_clone) return static_cast<int32_t>(request.arguments[0] & 0xff);
  if (request.number != SYS_clone3) return SIGCHLD;
  return static_cast<int32_t>(
      memory.load<uint64_t>(request.arguments[0] + kExitSignal).value_or(SIGCHLD));
}

bool is_pointer(uint64_t argument) {
  return argument >= 4096 && argument < uint64_t{1} << 47;
}

// Asked again it answers something else: what comes next.
bool takes_something(uint64_t number) {
  return number == SYS_read || number == SYS_readv || number == SYS_recvfrom ||
         number == SYS_recvmsg || number == SYS_getdents64 || number == SYS_accept4;
}

// Does the call ask the same? `effects` are then where the request's arguments point.
bool answers(const event::Syscall& call, const SyscallRequest& request,
             std::vector<MemoryEffect>* effects) {
  if (call.number != request.number) return false;
  const auto* known = find(request.number);
  // Behind its arguments there is whatever was in the registers.
  const size_t count = known ? known->count() : request.arguments.size();
  for (size_t i = 0; i < count; ++i) {
    const uint64_t recorded = call.arguments[i], asked = request.arguments[i];
    if (recorded != asked && !(is_pointer(recorded) && is_pointer(asked))) return false;
  }
  for (MemoryEffect& effect : *effects) {
    const auto end = call.arguments.begin() + static_cast<std::ptrdiff_t>(count);
    const auto points_there = std::find(call.arguments.begin(), end, effect.address);
    if (points_there != end)
      effect.address =
          request.arguments[static_cast<size_t>(points_there - call.arguments.begin())];
    else if (!std::equal(call.arguments.begin(), end, request.arguments.begin()))
      return false;
  }
  return true;
}

}  // namespace

// As in the recorded run, whose numbers those of other processes' tasks are among.
TaskId ModelKernel::next_task() {
  const auto& recorded = recording_->children();
  const auto made = recorded.made();
  if (made_tasks_ < made.size()) return last_task_ = made[made_tasks_++];
  return last_task_ = std::max(last_task_, recorded.last_task()) + 1;
}

SyscallAnswer ModelKernel::make_child(const SyscallRequest& request, const CloneArguments& wanted,
                                      const GuestMemory& memory) {
  const bool forks = !(wanted.flags & CLONE_VM);
  if (!forks && !(wanted.flags & CLONE_VFORK))
    return infeasible("a new process that shares memory with a running one");
  if (wanted.flags & (CLONE_FILES | CLONE_SIGHAND | CLONE_PIDFD | CLONE_PARENT))
    return infeasible("a new process that shares descriptors or has one for itself");
  const TaskId parent = request.place.task;
  const bool nested = children_.starting(parent);
  if (nested && !forked(parent)) return infeasible("a process that vfork made makes others");
  const TaskId child =
      nested ? (last_task_ = std::max(last_task_, recording_->children().last_task()) + 1)
             : next_task();
  SyscallAnswer answer = of_kind(SyscallAnswer::Kind::new_task);
  answer.child = child;
  answer.makes_process = true;
  answer.result = tid(child);
  tids_[child] = answer.result;
  const auto number = static_cast<uint32_t>(answer.result);
  if (wanted.flags & CLONE_PARENT_SETTID)
    answer.effects.push_back(model::effect(wanted.parent_tid, number));
  if (!forks && (wanted.flags & CLONE_CHILD_SETTID))
    answer.effects.push_back(model::effect(wanted.child_tid, number));
  children_.add(child, parent, answer.result, exit_signal_of(request, memory),
                (wanted.flags & CLONE_VFORK) != 0, signals(parent));
  input_output_.fork(nested ? parent : model::kOwnTable, child);
  queue_.add(child);
  if (forks) child_addresses_.emplace(child, nested ? child_addresses_.at(parent) : addresses_);
  if (wanted.flags & CLONE_VFORK) queue_.suspend(parent);
  return answer;
}

// What a child was answered in the recorded run before it executed a program.
SyscallAnswer ModelKernel::early_answer(const SyscallRequest& request) {
  const auto calls = recording_->children().early_calls();
  std::optional<size_t> again;
  for (size_t number = 0; number < calls.size(); ++number) {
    const event::Syscall& call = calls[number];
    std::vector<MemoryEffect> effects = call.effects;
    if (!answers(call, request, &effects)) continue;
    if (used_early_.insert(number).second) return done(call.result, std::move(effects));
    again = number;
  }
  if (again && !takes_something(request.number)) {
    std::vector<MemoryEffect> effects = calls[*again].effects;
    answers(calls[*again], request, &effects);
    return done(calls[*again].result, std::move(effects));
  }
  const auto* known = find(request.number);
  return infeasible(std::string("the recording has no answer for a new process's ") +
                    (known ? known->name : "system call"));
}

// A child with memory of its own has its own mappings, and shares no futex.
SyscallAnswer ModelKernel::modelled_for_child(const SyscallRequest& request,
                                              const GuestMemory& memory) {
  const auto own = child_addresses_.find(request.place.task);
  if (own == child_addresses_.end()) return *modelled(request, memory);
  if (request.number == SYS_futex) {
    const auto command = request.arguments[1] & FUTEX_CMD_MASK;
    if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET) return done(0);
    return infeasible("a futex of a process that shares no memory");
  }
  std::swap(addresses_, own->second);
  SyscallAnswer answer = *modelled(request, memory);
  std::swap(addresses_, own->second);
  return answer;
}

SyscallAnswer ModelKernel::child_answer(const SyscallRequest& request, const GuestMemory& memory) {
  const auto& a = request.arguments;
  const TaskId task = request.place.task;
  std::vector<MemoryEffect> effects;
  if (const auto result =
          children_.signals(task).call(request.number, task, a, 0, memory, &effects))
    return done(*result, std::move(effects));
  switch (request.number) {
    case SYS_execve:
    case SYS_execveat: {
      SyscallAnswer answer = children_.execute(request, memory, input_output_, queue_);
      if (answer.kind == SyscallAnswer::Kind::left) child_addresses_.erase(task);
      return answer;
    }
    case SYS_exit:
    case SYS_exit_group: {
      SyscallAnswer answer = of_kind(SyscallAnswer::Kind::child_exit);
      answer.status = static_cast<int32_t>((a[0] & 0xff) << 8);
      child_addresses_.erase(task);
      children_.exit(task, answer.status, input_output_, signals_, queue_);
      children_.progress(input_output_, queue_);
      return answer;
    }
    case SYS_rt_sigreturn:
      return of_kind(SyscallAnswer::Kind::sigreturn);
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork: {
      const auto wanted = clone_arguments(request.number, a, memory);
      if (!wanted) return done(-EFAULT);
      if (wanted->flags & CLONE_THREAD) return infeasible("a thread of a new process");
      return make_child(request, *wanted, memory);
    }
    case SYS_wait4:
    case SYS_waitid:
      return *children_.call(request, queue_);
    case SYS_getpid:
    case SYS_gettid:
      return done(tid(task));
    case SYS_getppid:
      return done(tid(1));
    case SYS_setpgid: {
      SyscallRequest named = request;
      if (a[0] == 0) named.arguments[0] = static_cast<uint64_t>(tid(task));
      if (auto answer = children_.call(named, queue_)) return std::move(*answer);
      return early_answer(request);
    }
    case SYS_pause: {
      model::Wait wait;
      wait.what = "a signal (pause)";
      wait.on_signal = model::OnSignal::interrupts;
      queue_.block(task, std::move(wait));
      return of_kind(SyscallAnswer::Kind::blocks);
    }
    case SYS_mmap:
    case SYS_munmap:
    case SYS_mremap:
    case SYS_mprotect:
    case SYS_madvise:
    case SYS_brk:
    case SYS_futex:
    case SYS_sched_yield:
      return modelled_for_child(request, memory);
    case SYS_clock_gettime:
    case SYS_gettimeofday:
    case SYS_time:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
      return *clocks_.call(request, memory, queue_);
    case SYS_tgkill:
    case SYS_kill: {
      const uint64_t to = a[request.number == SYS_kill ? 0 : 1];
      if (static_cast<int32_t>(to) != tid(task)) return early_answer(request);
      children_.signal_itself(task, static_cast<int32_t>(a[request.number == SYS_kill ? 1 : 2]));
      return done(0);
    }
    case SYS_open:
    case SYS_openat: {
      SyscallAnswer answer = early_answer(request);
      if (answer.kind != SyscallAnswer::Kind::done || answer.result < 0) return answer;
      input_output_.use(task);
      answer.result = input_output_.open_outside(model::descriptor_flags(request.number, a));
      input_output_.use(model::kOwnTable);
      return answer;
    }
    case SYS_read:
    case SYS_readv:
    case SYS_write:
    case SYS_writev:
    case SYS_close:
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
    case SYS_fcntl:
    case SYS_poll:
      break;
    case SYS_close_range:
      input_output_.close_range(task, a, queue_);
      children_.progress(input_output_, queue_);
      return done(0);
    default:
      return early_answer(request);
  }
  input_output_.use(task);
  auto answer = input_output_.call(request, memory, answers_, queue_);
  input_output_.use(model::kOwnTable);
  if (!answer || answer->kind == SyscallAnswer::Kind::infeasible) return early_answer(request);
  children_.progress(input_output_, queue_);
  return std::move(*answer);
}

void ModelKernel::child_killed(TaskId child, int32_t signal) {
  child_addresses_.erase(child);
  children_.exit(child, signal, input_output_, signals_, queue_);
  children_.progress(input_output_, queue_);
}

std::string ModelKernel::act(TaskId child) {
  queue_.pass(model::kCallTime);
  settle();
  std::string reason = children_.act(child, input_output_, signals_, queue_);
  children_.progress(input_output_, queue_);
  return reason;
}

}  // namespace heddle
