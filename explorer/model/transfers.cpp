// Reading and writing: the part of InputOutput that moves bytes.
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "explorer/model/answers.h"
#include "explorer/model/input_output.h"

namespace heddle::model {
namespace {

constexpr uint64_t kMostBytes = 0x7ffff000;  // of one call (read(2))

}  // namespace

SyscallAnswer InputOutput::transfer(const SyscallRequest& request, const GuestMemory& memory,
                                    RecordedAnswers& answers, RunQueue& queue) {
  const auto& a = request.arguments;
  const auto number = request.number;
  Transfer transfer;
  transfer.file = *files_.id_of(static_cast<int>(a[0]));
  transfer.writes =
      number == SYS_write || number == SYS_writev || number == SYS_pwrite64 || number == SYS_sendto;
  if (number == SYS_pread64 || number == SYS_pwrite64) transfer.at = a[3];
  if (number == SYS_readv || number == SYS_writev) {
    for (uint64_t i = 0; i < std::min<uint64_t>(a[2], 1024); ++i) {
      const auto part = memory.load<iovec>(a[1] + i * sizeof(iovec));
      if (!part) return done(-EFAULT);
      transfer.buffers.push_back({reinterpret_cast<uint64_t>(part->iov_base), part->iov_len});
    }
  } else {
    transfer.buffers.push_back({a[1], a[2]});
  }
  for (Buffer& buffer : transfer.buffers) {
    buffer.size = std::min(buffer.size, kMostBytes - transfer.size);
    transfer.size += buffer.size;
  }
  if (transfer.writes) {
    for (const Buffer& buffer : transfer.buffers) {
      const size_t at = transfer.bytes.size();
      transfer.bytes.resize(at + buffer.size);
      const size_t got = memory.read(buffer.address, std::span(transfer.bytes).subspan(at));
      transfer.bytes.resize(at + got);
      if (got < buffer.size) {
        if (transfer.bytes.empty()) return done(-EFAULT);
        break;
      }
    }
    transfer.size = transfer.bytes.size();
  }

  const OpenFile& file = files_.at(transfer.file);
  if (std::holds_alternative<Outside>(file.what)) {
    if (number == SYS_recvfrom && a[4] != 0) return other(request, answers);
    return transfer.writes ? write_outside(transfer, request, answers)
                           : read_outside(transfer, request, answers);
  }
  if (transfer.at) return done(-ESPIPE);
  const bool nonblocking =
      (file.flags & O_NONBLOCK) ||
      ((number == SYS_recvfrom || number == SYS_sendto) && (a[3] & MSG_DONTWAIT));
  if (auto answer = attempt_transfer(transfer, request.place.task)) return std::move(*answer);
  if (nonblocking) {
    const uint64_t written = transfer.size - transfer.bytes.size();
    if (transfer.writes && written > 0) return done(static_cast<int64_t>(written));
    return done(-EAGAIN);
  }
  Wait wait_for;
  const char* kind = std::holds_alternative<Ends>(file.what) ? "pipe" : "event counter";
  wait_for.what = std::string("a ") + kind + (transfer.writes ? " to write to" : " to read from") +
                  " (descriptor " + std::to_string(static_cast<int>(a[0])) + ")";
  // Once it has written something a signal is not noticed until all is.
  if (transfer.writes && transfer.bytes.size() < transfer.size)
    wait_for.on_signal = OnSignal::waits_on;
  wait(request.place.task, wait_for, std::move(transfer), queue);
  return of_kind(SyscallAnswer::Kind::blocks);
}

SyscallAnswer InputOutput::delivered(const Transfer& transfer, const std::vector<uint8_t>& bytes) {
  std::vector<MemoryEffect> effects;
  auto from = bytes.begin();
  for (const Buffer& buffer : transfer.buffers) {
    const auto count =
        std::min(static_cast<std::ptrdiff_t>(buffer.size), std::distance(from, bytes.end()));
    if (count == 0) continue;
    effects.push_back({buffer.address, {from, from + count}});
    from += count;
  }
  return done(static_cast<int64_t>(bytes.size()), std::move(effects));
}

std::optional<SyscallAnswer> InputOutput::attempt_transfer(Transfer& transfer, TaskId task) {
  OpenFile& file = files_.at(transfer.file);
  if (const auto* output = std::get_if<Output>(&file.what)) {
    if (!transfer.writes) return done(-EBADF);
    // What children write is as much outside as what their programs do.
    if (files_.used() == kOwnTable)
      (output->stream == 1 ? output_ : error_).append(transfer.bytes.begin(), transfer.bytes.end());
    return done(static_cast<int64_t>(transfer.size));
  }
  if (auto* counter = std::get_if<EventCounter>(&file.what)) {
    if (transfer.size < sizeof(uint64_t)) return done(-EINVAL);
    uint64_t value = 0;
    std::vector<uint8_t> bytes(sizeof value);
    if (transfer.writes) {
      std::memcpy(&value, transfer.bytes.data(), sizeof value);
      if (value == ~uint64_t{0}) return done(-EINVAL);
      if (!counter->write(value)) return std::nullopt;
    } else {
      const auto read = counter->read();
      if (!read) return std::nullopt;
      std::memcpy(bytes.data(), &*read, sizeof value);
    }
    ++file.changes;
    return transfer.writes ? done(sizeof value) : delivered(transfer, bytes);
  }
  const auto* ends = std::get_if<Ends>(&file.what);
  if (!ends) return done(-EINVAL);
  if (transfer.writes) {
    if (!ends->writes) return done(ends->reads ? -EBADF : -EPIPE);
    Pipe& pipe = files_.pipe(*ends->writes);
    if (pipe.readers == 0) {
      broken_pipes_.push_back(task);
      return done(-EPIPE);
    }
    if (transfer.size == 0) return done(0);
    const auto count = static_cast<std::ptrdiff_t>(pipe.write(transfer.bytes));
    transfer.bytes.erase(transfer.bytes.begin(), transfer.bytes.begin() + count);
    if (count > 0) files_.changed(*ends->writes);
    if (!transfer.bytes.empty()) return std::nullopt;
    return done(static_cast<int64_t>(transfer.size));
  }
  if (!ends->reads) return done(-EBADF);
  if (transfer.size == 0) return done(0);
  Pipe& pipe = files_.pipe(*ends->reads);
  if (pipe.empty() && pipe.more_unknown)
    return infeasible("what a child wrote was not read in the recorded run");
  if (pipe.empty()) return pipe.writers == 0 ? std::optional(done(0)) : std::nullopt;
  const auto bytes = pipe.read(transfer.size);
  files_.changed(*ends->reads);
  return delivered(transfer, bytes);
}

SyscallAnswer InputOutput::read_outside(const Transfer& transfer, const SyscallRequest& request,
                                        RecordedAnswers& answers) {
  OpenFile& file = files_.at(transfer.file);
  if (!file.object) return infeasible("what the program opened is not known from the recording");
  const Recording& recording = answers.recording();
  if (recording.reads(*file.object).empty()) return answers.answer(request, file.object);
  if (transfer.size == 0) return done(0);
  if (!recording.is_file(*file.object)) {
    const auto bytes = outside_.read_stream(*file.object, transfer.size);
    if (bytes) return delivered(transfer, *bytes);
    if (file.flags & O_NONBLOCK) return done(-EAGAIN);
    return infeasible("the recording has no further input for descriptor " +
                      std::to_string(static_cast<int>(request.arguments[0])));
  }
  const uint64_t position = transfer.at.value_or(file.position);
  const auto bytes = outside_.read(*file.object, position, transfer.size);
  if (!bytes)
    return infeasible("the recording does not tell what a file has at " + std::to_string(position));
  if (!transfer.at) file.position += bytes->size();
  return delivered(transfer, *bytes);
}

SyscallAnswer InputOutput::write_outside(const Transfer& transfer, const SyscallRequest& request,
                                         RecordedAnswers& answers) {
  OpenFile& file = files_.at(transfer.file);
  auto count = static_cast<int64_t>(transfer.size);
  if (file.object) {
    if (const auto event = answers.take(request, file.object)) {
      const event::Syscall& call = answers.recording().call(*event);
      if (call.result < 0) return done(call.result);
      if (call.arguments[2] == request.arguments[2]) count = std::min(count, call.result);
    }
    if (answers.recording().is_file(*file.object))
      outside_.write(*file.object, transfer.at.value_or(file.position),
                     {transfer.bytes.begin(), transfer.bytes.begin() + count});
  }
  if (!transfer.at) file.position += static_cast<uint64_t>(count);
  return done(count);
}

}  // namespace heddle::model
