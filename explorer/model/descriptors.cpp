// Making, duplicating and closing descriptors: the part of InputOutput that changes the table.
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "explorer/model/answers.h"
#include "explorer/model/input_output.h"

namespace heddle::model {
namespace {

constexpr int kMostDescriptors = 1 << 20;

OpenFile with(decltype(OpenFile::what) what, int flags) {
  OpenFile file;
  file.what = std::move(what);
  file.flags = flags & (O_ACCMODE | O_NONBLOCK | O_APPEND);
  return file;
}

}  // namespace

SyscallAnswer InputOutput::open(const SyscallRequest& request, RecordedAnswers& answers) {
  const auto event = answers.take(request, object_of(request));
  if (!event) return answers.answer(request, object_of(request));
  SyscallAnswer answer = answers.adapt(*event, request);
  if (answer.kind != SyscallAnswer::Kind::done || answer.result < 0) return answer;
  const int flags = descriptor_flags(request.number, request.arguments);
  OpenFile file = with(Outside{}, flags);
  const auto made = answers.recording().made_by(*event);
  if (!made.empty()) file.object = made.front();
  note_readiness(file, answers);
  answer.result = files_.open(std::move(file), (flags & O_CLOEXEC) != 0);
  return answer;
}

int InputOutput::open_outside(int flags) {
  return files_.open(with(Outside{}, flags), (flags & O_CLOEXEC) != 0);
}

SyscallAnswer InputOutput::make_pair(const SyscallRequest& request, RecordedAnswers& answers) {
  const auto& a = request.arguments;
  const bool sockets = request.number == SYS_socketpair;
  const auto event = answers.take(request, std::nullopt);
  const auto made = event ? answers.recording().made_by(*event) : std::span<const ObjectId>();
  if (event && answers.recording().call(*event).result < 0) return answers.adapt(*event, request);
  const int flags = descriptor_flags(request.number, request.arguments);
  // Datagram sockets keep the bounds of what is sent: not modelled.
  if (sockets && ((flags & 0xf) != SOCK_STREAM || a[0] != AF_UNIX))
    return infeasible("socket pairs but of streams are not modelled");
  const PipeId one = files_.make_pipe();
  const PipeId other = sockets ? files_.make_pipe() : one;
  const bool closes = (flags & O_CLOEXEC) != 0;
  const int kept = flags & O_NONBLOCK;
  Ends ends[2];
  ends[0].reads = one;
  ends[1].writes = one;
  if (sockets) {
    ends[0].writes = other;
    ends[1].reads = other;
  }
  int numbers[2];
  for (const int i : {0, 1}) {
    OpenFile file = with(ends[i], kept | (sockets ? O_RDWR : i == 0 ? O_RDONLY : O_WRONLY));
    if (made.size() == 2) file.object = made[static_cast<size_t>(i)];
    numbers[i] = files_.open(std::move(file), closes);
  }
  const uint64_t at = sockets ? a[3] : a[0];
  return done(0, {effect(at, std::array{numbers[0], numbers[1]})});
}

SyscallAnswer InputOutput::make_counter(const SyscallRequest& request, RecordedAnswers& answers) {
  const int flags = descriptor_flags(request.number, request.arguments);
  OpenFile file =
      with(EventCounter(static_cast<uint32_t>(request.arguments[0]), (flags & EFD_SEMAPHORE) != 0),
           (flags & O_NONBLOCK) | O_RDWR);
  if (const auto event = answers.take(request, std::nullopt))
    if (const auto made = answers.recording().made_by(*event); !made.empty())
      file.object = made.front();
  return done(files_.open(std::move(file), (flags & O_CLOEXEC) != 0));
}

SyscallAnswer InputOutput::make_epoll(const SyscallRequest& request, RecordedAnswers& answers) {
  OpenFile file = with(Epoll{}, O_RDWR);
  if (const auto event = answers.take(request, std::nullopt))
    if (const auto made = answers.recording().made_by(*event); !made.empty())
      file.object = made.front();
  return done(files_.open(std::move(file),
                          (descriptor_flags(request.number, request.arguments) & O_CLOEXEC) != 0));
}

SyscallAnswer InputOutput::duplicate(const SyscallRequest& request) {
  const auto& a = request.arguments;
  const auto from = static_cast<int>(a[0]), to = static_cast<int>(a[1]);
  const FileId file = *files_.id_of(from);
  if (request.number == SYS_dup) {
    const int number = files_.lowest_free(0);
    files_.assign(number, file, false);
    return done(number);
  }
  if (to < 0 || to >= kMostDescriptors) return done(-EBADF);
  if (from == to) return done(request.number == SYS_dup3 ? -EINVAL : to);
  files_.assign(to, file,
                request.number == SYS_dup3 &&
                    (descriptor_flags(request.number, request.arguments) & O_CLOEXEC));
  return done(to);
}

SyscallAnswer InputOutput::control(const SyscallRequest& request, RecordedAnswers& answers) {
  const auto& a = request.arguments;
  const auto descriptor = static_cast<int>(a[0]);
  OpenFile& file = *files_.find(descriptor);
  switch (a[1]) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
      const auto from = static_cast<int>(a[2]);
      if (from < 0 || from >= kMostDescriptors) return done(-EINVAL);
      const int number = files_.lowest_free(from);
      files_.assign(number, *files_.id_of(descriptor), a[1] == F_DUPFD_CLOEXEC);
      return done(number);
    }
    case F_GETFD:
      return done(files_.close_on_exec(descriptor) ? FD_CLOEXEC : 0);
    case F_SETFD:
      files_.set_close_on_exec(descriptor, (a[2] & FD_CLOEXEC) != 0);
      return done(0);
    case F_GETFL:
      // Of what is inherited the recording knows more than the model.
      if (std::holds_alternative<Outside>(file.what) || std::holds_alternative<Output>(file.what))
        if (const auto event = answers.take(request, file.object))
          return answers.adapt(*event, request);
      return done(file.flags);
    case F_SETFL:
      file.flags = (file.flags & O_ACCMODE) | static_cast<int>(a[2] & (O_NONBLOCK | O_APPEND));
      return done(0);
    default:
      return other(request, answers);
  }
}

SyscallAnswer InputOutput::seek(const SyscallRequest& request, RecordedAnswers& answers) {
  const auto& a = request.arguments;
  OpenFile& file = *files_.find(static_cast<int>(a[0]));
  if (std::holds_alternative<Ends>(file.what)) return done(-ESPIPE);
  const bool is_file = std::holds_alternative<Outside>(file.what) && file.object &&
                       answers.recording().is_file(*file.object);
  const auto offset = static_cast<int64_t>(a[1]);
  if (is_file && (a[2] == SEEK_SET || a[2] == SEEK_CUR)) {
    // A call that the recording has an error for is no seek (a terminal, a device).
    const auto event = answers.take(request, file.object);
    if (event && answers.recording().call(*event).result < 0) return answers.adapt(*event, request);
    const int64_t position =
        a[2] == SEEK_SET ? offset : static_cast<int64_t>(file.position) + offset;
    if (position < 0) return done(-EINVAL);
    file.position = static_cast<uint64_t>(position);
    return done(position);
  }
  SyscallAnswer answer = other(request, answers);
  if (answer.kind == SyscallAnswer::Kind::done && answer.result >= 0)
    file.position = static_cast<uint64_t>(answer.result);
  return answer;
}

SyscallAnswer InputOutput::shut_down(const SyscallRequest& request) {
  OpenFile& file = *files_.find(static_cast<int>(request.arguments[0]));
  auto* ends = std::get_if<Ends>(&file.what);
  if (!ends) return done(std::holds_alternative<Outside>(file.what) ? 0 : -ENOTSOCK);
  if (!ends->reads || !ends->writes) return done(-ENOTCONN);
  const auto how = static_cast<int>(request.arguments[1]);
  if (how == SHUT_RD) return infeasible("shutdown of a socket's reading half is not modelled");
  const PipeId pipe = *ends->writes;
  --files_.pipe(pipe).writers;
  ends->writes.reset();
  files_.changed(pipe);
  return done(0);
}

// What a pipe or a socket pair is does not depend on which of them it is.
std::optional<SyscallAnswer> InputOutput::like_another(const SyscallRequest& request,
                                                       RecordedAnswers& answers) {
  const Recording& recording = answers.recording();
  for (const size_t event : recording.calls(request.number)) {
    const auto object = recording.object_of(event);
    if (object && recording.children().is_end(*object)) return answers.adapt(event, request);
  }
  return std::nullopt;
}

SyscallAnswer InputOutput::other(const SyscallRequest& request, RecordedAnswers& answers) {
  const auto& a = request.arguments;
  const OpenFile& file = *files_.find(static_cast<int>(a[0]));
  if (const auto* ends = std::get_if<Ends>(&file.what)) {
    if (request.number == SYS_ioctl && a[1] == FIONREAD && ends->reads)
      return done(0, {effect(a[2], static_cast<int>(files_.pipe(*ends->reads).size()))});
    if (request.number == SYS_ioctl && a[1] == TCGETS) return done(-ENOTTY);
    if (request.number == SYS_fstat || request.number == SYS_newfstatat)
      if (auto answer = like_another(request, answers)) return std::move(*answer);
  }
  if (!file.object) return infeasible("what the program opened is not known from the recording");
  return answers.answer(request, file.object);
}

}  // namespace heddle::model
