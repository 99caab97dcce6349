#include "explorer/model/input_output.h"

#include <errno.h>
#include <sys/syscall.h>

#include <algorithm>

#include "explorer/model/answers.h"

namespace heddle::model {
InputOutput::InputOutput(const std::shared_ptr<const Recording>& recording)
    : files_(*recording), outside_(recording) {
  const RecordedAnswers answers(recording);
  for (const auto& [descriptor, object] : recording->inherited())
    note_readiness(*files_.find(descriptor), answers);
}

std::optional<ObjectId> InputOutput::object_of(const SyscallRequest& request) {
  const auto argument = descriptor_argument(request);
  if (!argument) return std::nullopt;
  const OpenFile* file = files_.find(static_cast<int>(request.arguments[*argument]));
  return file ? file->object : std::nullopt;
}

std::optional<SyscallAnswer> InputOutput::call(const SyscallRequest& request,
                                               const GuestMemory& memory, RecordedAnswers& answers,
                                               RunQueue& queue) {
  forget_ended(queue);
  if (const auto argument = descriptor_argument(request))
    if (!files_.find(static_cast<int>(request.arguments[*argument]))) return done(-EBADF);
  auto answer = dispatch(request, memory, answers, queue);
  if (answer && answer->kind == SyscallAnswer::Kind::done) note_taken(request, answers);
  if (answer) progress(queue);
  return answer;
}

std::optional<SyscallAnswer> InputOutput::dispatch(const SyscallRequest& request,
                                                   const GuestMemory& memory,
                                                   RecordedAnswers& answers, RunQueue& queue) {
  const auto& a = request.arguments;
  switch (request.number) {
    case SYS_read:
    case SYS_readv:
    case SYS_pread64:
    case SYS_write:
    case SYS_writev:
    case SYS_pwrite64:
    case SYS_recvfrom:
    case SYS_sendto:
      return transfer(request, memory, answers, queue);
    case SYS_poll:
    case SYS_ppoll:
      return poll(request, memory, answers, queue);
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return epoll_wait(request, memory, answers, queue);
    case SYS_epoll_ctl:
      return epoll_control(request, files_, memory, answers);
    case SYS_open:
    case SYS_openat:
    case SYS_creat:
    case SYS_socket:
    case SYS_accept:
    case SYS_accept4:
    case SYS_memfd_create:
    case SYS_timerfd_create:
    case SYS_inotify_init1:
    case SYS_signalfd4:
      return open(request, answers);
    case SYS_pipe:
    case SYS_pipe2:
    case SYS_socketpair:
      return make_pair(request, answers);
    case SYS_eventfd:
    case SYS_eventfd2:
      return make_counter(request, answers);
    case SYS_epoll_create:
    case SYS_epoll_create1:
      return make_epoll(request, answers);
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
      return duplicate(request);
    case SYS_close:
      return done(files_.close(static_cast<int>(a[0])) ? 0 : -EBADF);
    case SYS_close_range:
      close_range(kOwnTable, a, queue);
      return done(0);
    case SYS_fcntl:
      return control(request, answers);
    case SYS_lseek:
      return seek(request, answers);
    case SYS_shutdown:
      return shut_down(request);
    case SYS_fsync:
    case SYS_fdatasync:
      return done(0);
    case SYS_mmap:
      return std::nullopt;
    default:
      if (descriptor_argument(request)) return other(request, answers);
      return std::nullopt;
  }
}

template <typename Request>
SyscallAnswer InputOutput::wait_until_ready(Request wanted, const SyscallRequest& request,
                                            int64_t timeout_ns, SyscallAnswer timed_out,
                                            RecordedAnswers& answers, RunQueue& queue) {
  if (auto answer = attempt(wanted, files_)) return std::move(*answer);
  const bool outside = asks_outside(wanted, files_);
  if (outside)
    if (auto answer = recorded(wanted, request, files_, answers)) return std::move(*answer);
  if (timeout_ns == 0) return timed_out;
  Wait wait_for;
  wait_for.what = "a descriptor to be ready";
  wait_for.on_signal = OnSignal::interrupts;
  wait_for.for_outside = outside;
  wait_for.timed_out = std::move(timed_out);
  if (timeout_ns > 0) wait_for.deadline = queue.now() + static_cast<uint64_t>(timeout_ns);
  wait(request.place.task, wait_for, std::move(wanted), queue);
  return of_kind(SyscallAnswer::Kind::blocks);
}

std::optional<SyscallAnswer> InputOutput::time_limit(const SyscallRequest& request,
                                                     const GuestMemory& memory, int64_t* limit) {
  const auto& a = request.arguments;
  if (request.number != SYS_ppoll) {
    *limit = int64_t{static_cast<int>(a[request.number == SYS_poll ? 2 : 3])} * 1'000'000;
    return std::nullopt;
  }
  if (a[3] != 0) return infeasible("ppoll with a signal mask is not modelled");
  *limit = -1;
  if (a[2] == 0) return std::nullopt;
  const auto time = memory.load<timespec>(a[2]);
  if (!time) return done(-EFAULT);
  const auto ns = to_ns(*time);
  if (!ns) return done(-EINVAL);
  *limit = static_cast<int64_t>(std::min<uint64_t>(*ns, INT64_MAX / 2));
  return std::nullopt;
}

SyscallAnswer InputOutput::poll(const SyscallRequest& request, const GuestMemory& memory,
                                RecordedAnswers& answers, RunQueue& queue) {
  int64_t timeout = 0;
  if (auto error = time_limit(request, memory, &timeout)) return std::move(*error);
  auto wanted = poll_request(request, files_, memory);
  if (!wanted) return done(-EFAULT);
  SyscallAnswer nothing = timed_out(*wanted);
  return wait_until_ready(std::move(*wanted), request, timeout, std::move(nothing), answers, queue);
}

SyscallAnswer InputOutput::epoll_wait(const SyscallRequest& request, const GuestMemory& memory,
                                      RecordedAnswers& answers, RunQueue& queue) {
  const auto& a = request.arguments;
  const FileId id = *files_.id_of(static_cast<int>(a[0]));
  const auto most = static_cast<int32_t>(a[2]);
  if (!std::holds_alternative<Epoll>(files_.at(id).what) || most <= 0) return done(-EINVAL);
  if (request.number == SYS_epoll_pwait && a[4] != 0)
    return infeasible("epoll_pwait with a signal mask is not modelled");
  int64_t timeout = 0;
  if (auto error = time_limit(request, memory, &timeout)) return std::move(*error);
  return wait_until_ready(EpollRequest{id, a[1], static_cast<uint32_t>(most)}, request, timeout,
                          done(0), answers, queue);
}

void InputOutput::wait(TaskId task, Wait wait,
                       std::variant<Transfer, PollRequest, EpollRequest> what, RunQueue& queue) {
  waiters_.push_back({task, queue.block(task, std::move(wait)), std::move(what)});
  for (const FileId file : files_of(waiters_.back())) files_.retain(file);
}

std::vector<FileId> InputOutput::files_of(const Waiter& waiter) const {
  if (const auto* transfer = std::get_if<Transfer>(&waiter.what)) return {transfer->file};
  if (const auto* epoll = std::get_if<EpollRequest>(&waiter.what)) return {epoll->epoll};
  std::vector<FileId> files;
  for (const auto& entry : std::get<PollRequest>(waiter.what).entries)
    if (entry.file) files.push_back(*entry.file);
  return files;
}

void InputOutput::forget_ended(const RunQueue& queue) {
  for (size_t i = 0; i < waiters_.size();) {
    if (queue.waits(waiters_[i].task, waiters_[i].number)) {
      ++i;
      continue;
    }
    const std::vector<FileId> files = files_of(waiters_[i]);
    waiters_.erase(waiters_.begin() + static_cast<std::ptrdiff_t>(i));
    for (const FileId file : files) files_.release(file);
  }
}

std::optional<SyscallAnswer> InputOutput::attempt_waiting(Waiter& waiter) {
  if (auto* transfer = std::get_if<Transfer>(&waiter.what))
    return attempt_transfer(*transfer, waiter.task);
  if (const auto* poll = std::get_if<PollRequest>(&waiter.what)) return attempt(*poll, files_);
  return attempt(std::get<EpollRequest>(waiter.what), files_);
}

void InputOutput::progress(RunQueue& queue) {
  for (bool again = true; again;) {
    again = false;
    for (Waiter& waiter : waiters_) {
      if (!queue.waits(waiter.task, waiter.number)) continue;
      const auto* transfer = std::get_if<Transfer>(&waiter.what);
      const size_t left = transfer ? transfer->bytes.size() : 0;
      auto answer = attempt_waiting(waiter);
      again |= transfer && transfer->bytes.size() < left;
      if (!answer) continue;
      queue.end(waiter.task, std::move(*answer));
      again = true;
    }
    forget_ended(queue);
  }
}

}  // namespace heddle::model
