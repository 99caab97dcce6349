#include "explorer/model_kernel.h"

#include <errno.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "explorer/model/answers.h"
#include "explorer/model/deadlock.h"
#include "explorer/model/virtual_time.h"
#include "explorer/strategies/random_source.h"
#include "machine/syscalls/effects.h"

namespace heddle {

using model::done;
using model::effect;
using model::infeasible;
using model::kNever;
using model::of_kind;

namespace {

constexpr uint64_t kArchSetFs = 0x1002, kArchGetFs = 0x1003;
constexpr int64_t kFirstTid = 100'000;  // of tasks that the recording did not have

model::AddressSpace address_space(const std::vector<Event>& recording) {
  const auto* exec =
      recording.empty() ? nullptr : std::get_if<event::Exec>(&recording.front().body);
  return exec ? model::AddressSpace(*exec) : model::AddressSpace();
}

int32_t exited(uint64_t code) {
  return static_cast<int32_t>((code & 0xff) << 8);
}

}  // namespace

ModelKernel::ModelKernel(std::shared_ptr<const std::vector<Event>> recording)
    : addresses_(address_space(*recording)),
      recording_(std::make_shared<const model::Recording>(std::move(recording))),
      answers_(recording_),
      signals_(*recording_),
      input_output_(recording_),
      children_(recording_),
      tids_(recording_->tids()) {
  tids_.try_emplace(1, kFirstTid + 1);
  queue_.add(1);
  signals_.add_task(1, 0);
}

int64_t ModelKernel::tid(TaskId task) const {
  const auto found = tids_.find(task);
  return found != tids_.end() ? found->second : kFirstTid + task;
}

SyscallAnswer ModelKernel::answer(const SyscallRequest& request, const GuestMemory& memory) {
  queue_.pass(model::kCallTime);
  settle();
  if (children_.starting(request.place.task)) return child_answer(request, memory);
  std::optional<SyscallAnswer> answer = modelled(request, memory);
  if (!answer) answer = children_.call(request, queue_);
  if (!answer) answer = signals_.call(request, memory, tids_, queue_);
  if (!answer) answer = clocks_.call(request, memory, queue_);
  if (!answer) answer = input_output_.call(request, memory, answers_, queue_);
  for (const TaskId task : input_output_.take_broken_pipes())
    signals_.post(task, SIGPIPE, SI_USER, queue_);
  children_.progress(input_output_, queue_);
  if (!answer) answer = answers_.answer(request, input_output_.object_of(request));
  if (answer->kind == SyscallAnswer::Kind::infeasible && request.number == SYS_getrandom) {
    MemoryEffect bytes{request.arguments[0],
                       std::vector<uint8_t>(std::min<uint64_t>(request.arguments[1], 1 << 20))};
    RandomSource source(random_++, 0);
    for (uint8_t& byte : bytes.bytes) byte = static_cast<uint8_t>(source.next());
    const auto size = static_cast<int64_t>(bytes.bytes.size());
    return done(size, {std::move(bytes)});
  }
  return std::move(*answer);
}

// Tasks, memory, and what they share with nobody.
std::optional<SyscallAnswer> ModelKernel::modelled(const SyscallRequest& request,
                                                   const GuestMemory& memory) {
  const auto& a = request.arguments;
  const TaskId task = request.place.task;
  switch (request.number) {
    case SYS_futex:
      return futexes_.call(request, static_cast<uint32_t>(tid(task)), clocks_, memory, queue_);
    case SYS_set_robust_list:
      futexes_.set_robust_list(task, a[0]);
      return done(0);
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork:
      return clone(request, memory);
    case SYS_exit:
      return exit_task(request, memory);
    case SYS_exit_group: {
      SyscallAnswer answer = of_kind(SyscallAnswer::Kind::process_exit);
      answer.status = exited(a[0]);
      return answer;
    }
    case SYS_sched_yield:
      queue_.yield(task);
      return done(0);
    case SYS_getpid:
      return done(tid(1));
    case SYS_gettid:
      return done(tid(task));
    case SYS_set_tid_address:
      clear_tid_[task] = a[0];
      return done(tid(task));
    case SYS_rseq:
    case SYS_io_uring_setup:
    case SYS_userfaultfd:
      return done(-ENOSYS);
    case SYS_arch_prctl:
      if (a[0] == kArchGetFs) return infeasible("arch_prctl(ARCH_GET_FS) is not modelled");
      return done(a[0] == kArchSetFs ? 0 : -EINVAL);
    case SYS_membarrier:
    case SYS_sched_setaffinity:
      return done(0);
    case SYS_prctl:
      if (a[0] == PR_SET_NAME || a[0] == PR_SET_VMA) return done(0);
      return std::nullopt;
    case SYS_mmap:
      if (!(a[3] & MAP_ANONYMOUS) && !file_of(request))
        return infeasible("mmap of a file that was not mapped in the recording");
      return addresses_.call(request, recorded_address(request));
    case SYS_munmap:
    case SYS_mremap:
      return addresses_.call(request, recorded_address(request));
    case SYS_brk:
    case SYS_mprotect:
    case SYS_madvise:
      return of_kind(SyscallAnswer::Kind::perform);
    default:
      return std::nullopt;
  }
}

uint64_t ModelKernel::recorded_address(const SyscallRequest& request) const {
  for (const size_t event : recording_->calls(request.number)) {
    const int64_t result = recording_->call(event).result;
    if (recording_->place(event) == request.place && result > 0)
      return static_cast<uint64_t>(result);
  }
  return 0;
}

std::optional<FileRange> ModelKernel::file_of(const SyscallRequest& request) {
  if (request.number != SYS_mmap || (request.arguments[3] & MAP_ANONYMOUS)) return std::nullopt;
  return answers_.mapped_file(request, input_output_.object_of(request));
}

SyscallAnswer ModelKernel::clone(const SyscallRequest& request, const GuestMemory& memory) {
  const auto wanted = clone_arguments(request.number, request.arguments, memory);
  if (!wanted) return done(-EFAULT);
  if (!(wanted->flags & CLONE_THREAD)) return make_child(request, *wanted, memory);
  if (!(wanted->flags & CLONE_VM)) return done(-EINVAL);
  SyscallAnswer answer = of_kind(SyscallAnswer::Kind::new_task);
  const TaskId child = next_task();
  answer.child = child;
  answer.result = tid(child);
  tids_[child] = answer.result;
  const auto number = static_cast<uint32_t>(answer.result);
  if (wanted->flags & CLONE_PARENT_SETTID)
    answer.effects.push_back(effect(wanted->parent_tid, number));
  if (wanted->flags & CLONE_CHILD_SETTID)
    answer.effects.push_back(effect(wanted->child_tid, number));
  if (wanted->flags & CLONE_CHILD_CLEARTID) clear_tid_[child] = wanted->child_tid;
  signals_.add_task(child, request.place.task);
  queue_.add(child);
  return answer;
}

SyscallAnswer ModelKernel::exit_task(const SyscallRequest& request, const GuestMemory& memory) {
  const TaskId task = request.place.task;
  SyscallAnswer answer = of_kind(SyscallAnswer::Kind::task_exit);
  answer.status = static_cast<int32_t>(request.arguments[0]);
  const auto clear_tid = clear_tid_.find(task);
  answer.effects =
      futexes_.task_ended(task, static_cast<uint32_t>(tid(task)),
                          clear_tid == clear_tid_.end() ? 0 : clear_tid->second, memory, queue_);
  queue_.remove(task);
  signals_.remove_task(task);
  if (signals_.empty()) {
    answer.kind = SyscallAnswer::Kind::process_exit;
    answer.status = exited(request.arguments[0]);
  }
  return answer;
}

std::string ModelKernel::deadlock_description(const GuestMemory& memory) const {
  auto numbers = tids_;
  for (const auto& [task, futex] : queue_.futexes()) numbers[task] = tid(task);
  const std::string cycle = model::deadlock_cycle(queue_.futexes(), numbers, memory);
  return cycle.empty() ? queue_.description() : cycle + " (" + queue_.description() + ")";
}

std::string ModelKernel::waiting_description() const {
  return queue_.description();
}

void ModelKernel::settle() {
  signals_.post_due(queue_);
  while (clocks_.alarm_due(queue_.now())) signals_.post(0, SIGALRM, SI_KERNEL, queue_);
}

std::vector<int32_t> ModelKernel::outside_signals(uint64_t within) const {
  std::vector<int32_t> numbers = signals_.outside();
  if (clocks_.next_alarm() - queue_.now() <= within) numbers.push_back(SIGALRM);
  return numbers;
}

bool ModelKernel::place_signal(int32_t number, TaskId task) {
  if (signals_.place(number, task, queue_)) return true;
  if (number != SIGALRM || clocks_.next_alarm() == kNever) return false;
  const uint64_t due = clocks_.next_alarm();
  clocks_.alarm_due(due);
  jump_to(due);
  signals_.post(task, SIGALRM, SI_KERNEL, queue_);
  return true;
}

void ModelKernel::ran(Ticks ticks) {
  queue_.pass(model::kTickTime * ticks);
  settle();
}

void ModelKernel::jump_to(uint64_t time) {
  queue_.pass(time - std::min(time, queue_.now()));
  settle();
}

uint64_t ModelKernel::next_due() const {
  return std::min({queue_.first_deadline(), clocks_.next_alarm(), signals_.next_outside()});
}

bool ModelKernel::advance_time() {
  const uint64_t next = next_due();
  if (next == kNever) return false;
  jump_to(next);
  return true;
}

void ModelKernel::advance_to(TaskId sleeper) {
  if (const model::Wait* wait = queue_.wait_of(sleeper); wait && wait->deadline != kNever)
    jump_to(wait->deadline);
}

}  // namespace heddle
