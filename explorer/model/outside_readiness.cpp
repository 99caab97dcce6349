// Whether a file from outside is ready: the part of InputOutput that knows what is left to come.
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <algorithm>

#include "explorer/model/input_output.h"

namespace heddle::model {
namespace {

constexpr uint64_t kReading[] = {SYS_read, SYS_readv, SYS_recvfrom};
constexpr uint64_t kReceiving[] = {SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg};
constexpr uint64_t kAccepting[] = {SYS_accept, SYS_accept4};

bool is_one_of(std::span<const uint64_t> numbers, uint64_t number) {
  return std::ranges::find(numbers, number) != numbers.end();
}

}  // namespace

// Whatever the recorded run took of it later is there already: when it came was the outside's
// choice. That it took nothing says nothing.
void InputOutput::note_readiness(OpenFile& file, const RecordedAnswers& answers) const {
  auto* what = std::get_if<Outside>(&file.what);
  const Recording& recording = answers.recording();
  if (!what || !file.object || recording.is_file(*file.object)) return;
  const auto asked = [&](uint64_t number) { return recording.asked(number, *file.object); };
  const auto left = [&](uint64_t number) { return answers.left(number, *file.object); };
  if (std::ranges::any_of(kAccepting, asked)) {
    what->ready = std::ranges::any_of(kAccepting, left) ? EPOLLIN | EPOLLRDNORM : 0U;
    return;
  }
  uint32_t ready = EPOLLOUT | EPOLLWRNORM;
  if (!recording.reads(*file.object).empty()) {
    const auto next = outside_.next(*file.object);
    if (next != OutsideFiles::Next::unknown) ready |= EPOLLIN | EPOLLRDNORM;
    if (next == OutsideFiles::Next::end) ready |= EPOLLRDHUP;
  } else if (!std::ranges::any_of(kReceiving, asked)) {
    return;
  } else if (std::ranges::any_of(kReceiving, left)) {
    ready |= EPOLLIN | EPOLLRDNORM;
  }
  what->ready = ready;
}

// What comes next is new: who looks for edges sees one.
void InputOutput::note_taken(const SyscallRequest& request, const RecordedAnswers& answers) {
  const bool reads = is_one_of(kReading, request.number);
  if (!reads && !is_one_of(kReceiving, request.number) && !is_one_of(kAccepting, request.number))
    return;
  OpenFile* file = files_.find(static_cast<int>(request.arguments[0]));
  if (!file || !file->object || !std::holds_alternative<Outside>(file->what)) return;
  note_readiness(*file, answers);
  if (!reads || outside_.between_reads(*file->object)) ++file->changes;
}

}  // namespace heddle::model
