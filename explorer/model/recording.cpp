#include "explorer/model/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "explorer/model/virtual_time.h"

namespace heddle::model {
namespace {

// Tasks of other processes: made by a clone that is no thread's, or that executed a program.
std::set<TaskId> other_processes(const std::vector<Event>& events) {
  std::set<TaskId> others;
  for (size_t i = 1; i < events.size(); ++i) {
    const Event& event = events[i];
    if (std::holds_alternative<event::Exec>(event.body) && event.place.task != 1)
      others.insert(event.place.task);
  }
  for (const Event& event : events) {
    const auto* call = std::get_if<event::Syscall>(&event.body);
    if (!call || call->child == 0) continue;
    const bool thread = !call->makes_process &&
                        (call->number == SYS_clone3 ||
                         (call->number == SYS_clone && (call->arguments[0] & CLONE_THREAD)));
    if (!thread || others.contains(event.place.task)) others.insert(call->child);
  }
  return others;
}

bool makes_a_descriptor(const event::Syscall& call) {
  switch (call.number) {
    case SYS_open:
    case SYS_openat:
    case SYS_creat:
    case SYS_socket:
    case SYS_accept:
    case SYS_accept4:
    case SYS_epoll_create:
    case SYS_epoll_create1:
    case SYS_eventfd:
    case SYS_eventfd2:
    case SYS_timerfd_create:
    case SYS_memfd_create:
    case SYS_inotify_init1:
    case SYS_signalfd4:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::vector<int> made_descriptors(const event::Syscall& call) {
  if (call.result < 0) return {};
  if (makes_a_descriptor(call)) return {static_cast<int>(call.result)};
  if (call.number != SYS_pipe && call.number != SYS_pipe2 && call.number != SYS_socketpair)
    return {};
  const uint64_t at = call.arguments[call.number == SYS_socketpair ? 3 : 0];
  for (const auto& effect : call.effects) {
    int ends[2];
    if (effect.address != at || effect.bytes.size() != sizeof ends) continue;
    std::memcpy(ends, effect.bytes.data(), sizeof ends);
    return {ends[0], ends[1]};
  }
  return {};
}

// Those of sockets and the rest have O_*'s values.
int descriptor_flags(uint64_t number, const std::array<uint64_t, 6>& a) {
  switch (number) {
    case SYS_open:
    case SYS_pipe2:
    case SYS_eventfd2:
    case SYS_timerfd_create:
    case SYS_socket:
    case SYS_socketpair:
      return static_cast<int>(a[1]);
    case SYS_openat:
    case SYS_dup3:
      return static_cast<int>(a[2]);
    case SYS_accept4:
    case SYS_signalfd4:
      return static_cast<int>(a[3]);
    case SYS_epoll_create1:
    case SYS_inotify_init1:
      return static_cast<int>(a[0]);
    case SYS_creat:
      return O_WRONLY;
    default:
      return 0;
  }
}

std::optional<size_t> descriptor_argument(const SyscallRequest& request) {
  switch (request.number) {
    case SYS_read:
    case SYS_write:
    case SYS_close:
    case SYS_fstat:
    case SYS_lseek:
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_readv:
    case SYS_writev:
    case SYS_getdents64:
    case SYS_fchdir:
    case SYS_fchmod:
    case SYS_fchown:
    case SYS_ftruncate:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_flock:
    case SYS_fallocate:
    case SYS_fadvise64:
    case SYS_fstatfs:
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
    case SYS_ioctl:
    case SYS_fcntl:
    case SYS_epoll_ctl:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_timerfd_settime:
    case SYS_timerfd_gettime:
    case SYS_inotify_add_watch:
    case SYS_sendfile:
    case SYS_copy_file_range:
    case SYS_bind:
    case SYS_listen:
    case SYS_connect:
    case SYS_accept:
    case SYS_accept4:
    case SYS_getsockname:
    case SYS_getpeername:
    case SYS_setsockopt:
    case SYS_getsockopt:
    case SYS_sendto:
    case SYS_recvfrom:
    case SYS_sendmsg:
    case SYS_recvmsg:
    case SYS_shutdown:
      return 0;
    case SYS_mmap:
      return static_cast<int>(request.arguments[4]) >= 0 ? std::optional<size_t>(4) : std::nullopt;
    case SYS_openat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_readlinkat:
      return static_cast<int>(request.arguments[0]) >= 0 ? std::optional<size_t>(0) : std::nullopt;
    default:
      return std::nullopt;
  }
}

Recording::Recording(std::shared_ptr<const std::vector<Event>> events)
    : events_(std::move(events)),
      inherited_{{0, kStandardInput}, {1, kStandardOutput}, {2, kStandardError}},
      open_(inherited_),
      known_{0, 1, 2} {
  others_ = other_processes(*events_);
  const auto* begins =
      events_->empty() ? nullptr : std::get_if<event::Exec>(&events_->front().body);
  children_.begin(begins ? begins->pid : 0);
  std::map<TaskId, Ticks> ticks;
  uint64_t time = 0;
  for (size_t i = 0; i < events_->size(); ++i) {
    const Event& event = (*events_)[i];
    if (others_.contains(event.place.task)) {
      children_.other(event);
      continue;
    }
    Ticks& so_far = ticks[event.place.task];
    time += kTickTime * (std::max(event.place.ticks, so_far) - so_far);
    so_far = std::max(event.place.ticks, so_far);
    if (const auto* call = std::get_if<event::Syscall>(&event.body)) {
      index(i, event, *call);
      if (!others_.empty() && !call->interrupted) children_.own(event, *call, open_, made_by(i));
      time += kCallTime;
    } else if (const auto* signal = std::get_if<event::Signal>(&event.body)) {
      if (!signal->synchronous) signals_.push_back({time, {signal->number, signal->siginfo}});
    }
  }
  children_.finish();
}

std::span<const size_t> Recording::calls(uint64_t number) const {
  const auto found = calls_.find(number);
  return found == calls_.end() ? std::span<const size_t>() : found->second;
}

std::optional<ObjectId> Recording::object_of(size_t event) const {
  const auto found = object_of_.find(event);
  return found == object_of_.end() ? std::nullopt : std::optional(found->second);
}

std::span<const ObjectId> Recording::made_by(size_t event) const {
  const auto found = made_by_.find(event);
  return found == made_by_.end() ? std::span<const ObjectId>() : found->second;
}

std::span<const RecordedRead> Recording::reads(ObjectId object) const {
  const auto found = reads_.find(object);
  return found == reads_.end() ? std::span<const RecordedRead>() : found->second;
}

// What a descriptor that is in use names; one that was never seen to be opened was inherited.
ObjectId Recording::object(int descriptor) {
  const auto found = open_.find(descriptor);
  if (found != open_.end()) return found->second;
  const ObjectId id = make(descriptor);
  inherited_[descriptor] = id;
  return id;
}

// The kernel gives the lowest number that is free: the lower ones were in use.
ObjectId Recording::make(int descriptor) {
  for (int lower = 0; lower < descriptor && lower < 1024; ++lower) {
    if (open_.contains(lower) || known_.contains(lower)) continue;
    inherited_[lower] = open_[lower] = ++last_object_;
    known_.insert(lower);
  }
  known_.insert(descriptor);
  return open_[descriptor] = ++last_object_;
}

void Recording::index(size_t number, const Event& event, const event::Syscall& call) {
  if (call.number == SYS_set_tid_address || call.number == SYS_gettid)
    tids_.try_emplace(event.place.task, call.result);
  if (call.number == SYS_getpid) tids_.try_emplace(1, call.result);
  if (call.child != 0) tids_[call.child] = call.result;
  if (call.interrupted) return;
  calls_[call.number].push_back(number);
  if (const auto argument = descriptor_argument({call.number, call.arguments, {}})) {
    const auto descriptor = static_cast<int>(call.arguments[*argument]);
    if (call.result != -EBADF) {
      object_of_[number] = object(descriptor);
      asked_.emplace(call.number, object_of_[number]);
    }
  }
  if (call.result < 0) return;
  if (const auto named = object_of_.find(number); named != object_of_.end()) {
    index_read(call, named->second);
    if (call.number == SYS_close) open_.erase(static_cast<int>(call.arguments[0]));
  }
  index_made(number, call);
}

void Recording::index_made(size_t number, const event::Syscall& call) {
  const auto& a = call.arguments;
  const auto result = static_cast<int>(call.result);
  const bool duplicates =
      call.number == SYS_dup || call.number == SYS_dup2 || call.number == SYS_dup3 ||
      (call.number == SYS_fcntl && (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC));
  if (duplicates) {
    known_.insert(result);
    open_[result] = object(static_cast<int>(a[0]));
    return;
  }
  for (const int made : made_descriptors(call)) {
    const ObjectId id = make(made);
    note_made(number, id);
    if (call.number == SYS_open || call.number == SYS_openat || call.number == SYS_creat)
      files_.insert(id);
  }
}

void Recording::index_read(const event::Syscall& call, ObjectId object) {
  const auto& a = call.arguments;
  uint64_t& position = position_[object];
  const auto count = static_cast<uint64_t>(call.result);
  switch (call.number) {
    case SYS_lseek:
      position = count;
      return;
    case SYS_write:
    case SYS_writev:
      position += count;
      return;
    case SYS_read:
    case SYS_readv:
    case SYS_pread64:
      break;
    case SYS_recvfrom:
      if (a[4] != 0) return;
      break;
    default:
      return;
  }
  RecordedRead read;
  read.position = call.number == SYS_pread64 ? a[3] : position;
  read.result = call.result;
  for (const auto& effect : call.effects)
    read.bytes.insert(read.bytes.end(), effect.bytes.begin(), effect.bytes.end());
  if (read.bytes.size() > count) read.bytes.resize(count);
  // How much a readv asked for is in the program's memory then: take it that it got what it wanted.
  read.wanted = call.number == SYS_readv ? std::max<uint64_t>(count, 1) : a[2];
  if (call.number != SYS_pread64) position += count;
  reads_[object].push_back(std::move(read));
}

}  // namespace heddle::model
