#include "explorer/model/recorded_answers.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/syscall.h>

#include <algorithm>

#include "explorer/model/answers.h"
#include "machine/syscalls/table.h"

namespace heddle::model {
namespace {

// Asked again, with equal arguments, these answer the same.
bool keeps_its_answer(const SyscallRequest& request) {
  switch (request.number) {
    case SYS_sched_getaffinity:
    case SYS_sched_getparam:
    case SYS_sched_getscheduler:
    case SYS_getpriority:
    case SYS_getcpu:
    case SYS_getuid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getegid:
    case SYS_getresuid:
    case SYS_getresgid:
    case SYS_getgroups:
    case SYS_getppid:
    case SYS_getpgrp:
    case SYS_getpgid:
    case SYS_getsid:
    case SYS_uname:
    case SYS_sysinfo:
    case SYS_getcwd:
    case SYS_getrlimit:
    case SYS_stat:
    case SYS_lstat:
    case SYS_fstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_statfs:
    case SYS_fstatfs:
    case SYS_access:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_readlink:
    case SYS_readlinkat:
    case SYS_getsockname:
    case SYS_getpeername:
    case SYS_getsockopt:
    case SYS_mincore:
      return true;
    case SYS_prlimit64:
      return request.arguments[2] == 0;
    case SYS_prctl:
      return request.arguments[0] != PR_GET_NAME;
    case SYS_ioctl:
      return true;
    default:
      return false;
  }
}

// Arguments that say what is asked for, not where the answer goes.
bool same_question(const SyscallRequest& asked, const event::Syscall& recorded) {
  for (size_t i = 0; i < asked.arguments.size(); ++i)
    if (asked.arguments[i] != recorded.arguments[i] && i != 0 && asked.arguments[i] < 4096)
      return false;
  return true;
}

std::string name_of(uint64_t number) {
  const auto* known = find(number);
  return known ? known->name : "system call " + std::to_string(number);
}

}  // namespace

RecordedAnswers::RecordedAnswers(std::shared_ptr<const Recording> recording)
    : recording_(std::move(recording)), used_(recording_->size()) {}

std::optional<size_t> RecordedAnswers::best(const SyscallRequest& request,
                                            std::optional<ObjectId> object, bool used) const {
  constexpr int kPerfect = 7;
  const auto calls = recording_->calls(request.number);
  const auto argument = descriptor_argument(request);
  const auto left = first_left_.find(request.number);
  std::optional<size_t> best;
  int best_score = -1;
  for (size_t i = used || left == first_left_.end() ? 0 : left->second; i < calls.size(); ++i) {
    const size_t event = calls[i];
    if (used_[event] != used) continue;
    if (object && recording_->object_of(event) != object) continue;
    const event::Syscall& call = recording_->call(event);
    auto arguments = call.arguments;
    // Another number may name the same object.
    if (object && argument) arguments[*argument] = request.arguments[*argument];
    if (used && !same_question(request, call)) continue;
    const Place& place = recording_->place(event);
    const int score = (arguments == request.arguments ? 4 : 0) +
                      (place.task == request.place.task ? 2 : 0) +
                      (place.pc == request.place.pc ? 1 : 0);
    if (score <= best_score) continue;
    best_score = score;
    best = event;
    if (score == kPerfect) break;
  }
  return best;
}

std::optional<size_t> RecordedAnswers::take(const SyscallRequest& request,
                                            std::optional<ObjectId> object) {
  const auto event = best(request, object, false);
  if (!event) return std::nullopt;
  used_[*event] = true;
  const auto calls = recording_->calls(request.number);
  size_t& first = first_left_[request.number];
  while (first < calls.size() && used_[calls[first]]) ++first;
  return event;
}

bool RecordedAnswers::left(uint64_t number, ObjectId object) const {
  const auto calls = recording_->calls(number);
  const auto first = first_left_.find(number);
  for (size_t i = first == first_left_.end() ? 0 : first->second; i < calls.size(); ++i)
    if (!used_[calls[i]] && recording_->object_of(calls[i]) == object &&
        recording_->call(calls[i]).result >= 0)
      return true;
  return false;
}

SyscallAnswer RecordedAnswers::answer(const SyscallRequest& request,
                                      std::optional<ObjectId> object) {
  auto event = take(request, object);
  if (!event && keeps_its_answer(request)) event = best(request, object, true);
  if (!event)
    return infeasible("the recording has no further answer for " + name_of(request.number));
  return adapt(*event, request);
}

SyscallAnswer RecordedAnswers::adapt(size_t event, const SyscallRequest& request) const {
  const event::Syscall& call = recording_->call(event);
  std::vector<MemoryEffect> effects = call.effects;
  for (MemoryEffect& e : effects) {
    const auto points_there = std::ranges::find(call.arguments, e.address);
    if (points_there == call.arguments.end()) {
      // Through memory of the program, that may point elsewhere now.
      if (call.arguments != request.arguments)
        return infeasible("an answer to " + name_of(request.number) +
                          " was recorded for other buffers");
      continue;
    }
    e.address = request.arguments[static_cast<size_t>(points_there - call.arguments.begin())];
  }
  return done(call.result, std::move(effects));
}

std::optional<FileRange> RecordedAnswers::mapped_file(const SyscallRequest& request,
                                                      std::optional<ObjectId> object) const {
  std::optional<FileRange> file;
  const auto& a = request.arguments;
  for (const size_t event : recording_->calls(SYS_mmap)) {
    const event::Syscall& call = recording_->call(event);
    const auto& b = call.arguments;
    if (!call.file || b[1] != a[1] || b[2] != a[2] || b[5] != a[5]) continue;
    if (object && recording_->object_of(event) != object) continue;
    if (!file || recording_->place(event) == request.place) file = call.file;
  }
  return file;
}

}  // namespace heddle::model
