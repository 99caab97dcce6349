// Calls on descriptors that end otherwise than usual: the part of InputOutput that faults need.
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "explorer/model/answers.h"
#include "explorer/model/input_output.h"

namespace heddle::model {

bool InputOutput::divides(const SyscallRequest& request, const Recording& recording) {
  const OpenFile* file = files_.find(static_cast<int>(request.arguments[0]));
  if (!file) return false;
  if (std::holds_alternative<Output>(file->what) || std::holds_alternative<Ends>(file->what))
    return true;
  if (!std::holds_alternative<Outside>(file->what) || !file->object) return false;
  // A datagram is taken whole or cut; what was opened by a name has none.
  if (request.number == SYS_recvfrom || request.number == SYS_sendto) return false;
  return recording.is_file(*file->object) || !recording.reads(*file->object).empty();
}

bool InputOutput::reads_stream(const SyscallRequest& request, const Recording& recording) {
  const OpenFile* file = files_.find(static_cast<int>(request.arguments[0]));
  return file && std::holds_alternative<Outside>(file->what) && !(file->flags & O_NONBLOCK) &&
         file->object && !recording.is_file(*file->object);
}

std::optional<SyscallAnswer> InputOutput::late(const SyscallRequest& request,
                                               const GuestMemory& memory, RunQueue& queue) {
  const auto& a = request.arguments;
  SyscallAnswer nothing = done(0);
  bool outside = false;
  switch (request.number) {
    case SYS_poll:
    case SYS_ppoll: {
      const auto wanted = poll_request(request, files_, memory);
      if (!wanted) return std::nullopt;
      nothing = timed_out(*wanted);
      outside = asks_outside(*wanted, files_);
      break;
    }
    case SYS_epoll_wait:
    case SYS_epoll_pwait: {
      const auto id = files_.id_of(static_cast<int>(a[0]));
      if (!id || !std::holds_alternative<Epoll>(files_.at(*id).what)) return std::nullopt;
      outside = asks_outside(EpollRequest{*id, a[1], static_cast<uint32_t>(a[2])}, files_);
      break;
    }
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom: {
      OpenFile* file = files_.find(static_cast<int>(a[0]));
      const auto* ends = file ? std::get_if<Ends>(&file->what) : nullptr;
      const bool waits = !file || !((file->flags & O_NONBLOCK) ||
                                    (request.number == SYS_recvfrom && (a[3] & MSG_DONTWAIT)));
      if (!ends || !ends->reads || waits || files_.pipe(*ends->reads).empty()) return std::nullopt;
      files_.changed(*ends->reads);  // when it comes, whoever looks for edges sees one
      return done(-EAGAIN);
    }
    default:
      return std::nullopt;
  }
  int64_t limit = 0;
  if (outside || time_limit(request, memory, &limit) || limit < 0) return std::nullopt;
  if (limit == 0) return nothing;
  Wait wait;
  wait.what = "a descriptor to be ready, which is late";
  wait.on_signal = OnSignal::interrupts;
  wait.timed_out = std::move(nothing);
  wait.deadline = queue.now() + static_cast<uint64_t>(limit);
  queue.block(request.place.task, std::move(wait));
  return of_kind(SyscallAnswer::Kind::blocks);
}

}  // namespace heddle::model
