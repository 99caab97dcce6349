#include "machine/syscalls/extents.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>

namespace heddle {
namespace {

constexpr uint64_t kMaxVector = 1024;  // UIO_MAXIOV
constexpr uint64_t kMessage = 64;      // struct mmsghdr
constexpr uint64_t kMessageLength = offsetof(mmsghdr, msg_len);
constexpr uint64_t kPollFd = 8, kRevents = 6;

class Writer {
 public:
  Writer(const CompletedCall& call, std::vector<MemoryRange>& out) : call_(call), out_(out) {}

  void range(uint64_t address, uint64_t size) {
    if (address != 0 && size != 0) out_.push_back({address, size});
  }

  void vector(uint64_t at, uint64_t count, uint64_t bytes) {
    count = std::min(count, kMaxVector);
    for (uint64_t i = 0; i < count && bytes > 0; ++i) {
      const auto part = call_.memory.load<iovec>(at + i * sizeof(iovec));
      if (!part) return;
      const uint64_t n = std::min<uint64_t>(bytes, part->iov_len);
      range(reinterpret_cast<uint64_t>(part->iov_base), n);
      bytes -= n;
    }
  }

  // net/socket.c, move_addr_to_user: the whole length, and of the address what fits.
  void address(uint64_t at, uint64_t length_at) {
    const uint64_t given = before();
    const uint64_t actual = call_.memory.load<uint32_t>(length_at).value_or(0);
    range(at, std::min(given, actual));
  }

  void message(uint64_t at, uint64_t bytes) {
    const auto header = call_.memory.load<msghdr>(at);
    if (!header) return;
    const auto name = reinterpret_cast<uint64_t>(header->msg_name);
    const uint64_t name_room = before(), control_room = before();
    if (name != 0) {
      range(at + offsetof(msghdr, msg_namelen), 4);
      range(name, std::min<uint64_t>(name_room, header->msg_namelen));
    }
    range(at + offsetof(msghdr, msg_controllen), 8);
    range(at + offsetof(msghdr, msg_flags), 4);
    control(reinterpret_cast<uint64_t>(header->msg_control),
            std::min<uint64_t>(control_room, header->msg_controllen));
    vector(reinterpret_cast<uint64_t>(header->msg_iov), header->msg_iovlen, bytes);
  }

 private:
  uint64_t before() {
    const auto& lengths = call_.inputs.lengths;
    return next_ < lengths.size() ? lengths[next_++] : ~uint64_t{0};
  }

  // Control messages; the padding between them is not written.
  void control(uint64_t at, uint64_t size) {
    for (uint64_t offset = 0; offset + sizeof(cmsghdr) <= size;) {
      const auto length = call_.memory.load<uint64_t>(at + offset);  // of cmsghdr
      if (!length || *length < sizeof(cmsghdr)) return range(at + offset, size - offset);
      range(at + offset, std::min(*length, size - offset));
      offset += CMSG_ALIGN(*length);
    }
  }

  const CompletedCall& call_;
  size_t next_ = 0;  // of the overwritten lengths: no call has two arguments with such
  std::vector<MemoryRange>& out_;
};

uint64_t bytes_of_bits(uint64_t bits) {
  return static_cast<int32_t>(bits) <= 0 ? 0 : (static_cast<uint32_t>(bits) + 63) / 64 * 8;
}

// The lengths of a message header: its name's and its control data's room.
void message_lengths(uint64_t at, const GuestMemory& memory, std::vector<uint64_t>& out) {
  const auto header = memory.load<msghdr>(at);
  out.push_back(header ? header->msg_namelen : 0);
  out.push_back(header ? header->msg_controllen : 0);
}

}  // namespace

void written_ranges(const Syscall& call, size_t index, const CompletedCall& done,
                    std::vector<MemoryRange>& out) {
  const auto& argument = call.arguments[index];
  const uint64_t at = done.arguments[index];
  if (argument.extent == Extent::none || at == 0) return;
  Writer write(done, out);
  const uint64_t other = done.arguments[argument.other];
  const bool ok = done.result >= 0;
  const auto count = static_cast<uint64_t>(ok ? done.result : 0);
  switch (argument.extent) {
    case Extent::none:
      break;
    case Extent::always:
      write.range(at, argument.unit);
      break;
    case Extent::interrupted:
      if (done.result == -EINTR) write.range(at, argument.unit);
      break;
    case Extent::positive:
      if (done.result > 0) write.range(at, argument.unit);
      break;
    case Extent::fixed:
      if (ok) write.range(at, argument.unit);
      break;
    case Extent::returned:
      write.range(at, std::min(count, other));
      break;
    case Extent::elements:
      if (ok) write.range(at, argument.unit * other);
      break;
    case Extent::counted:
      write.range(at, argument.unit * std::min(count, other));
      break;
    case Extent::vector:
      write.vector(at, other, count);
      break;
    case Extent::address:
      if (ok) write.address(at, other);
      break;
    case Extent::length:
      if (ok && other != 0) write.range(at, argument.unit);
      break;
    case Extent::sized:
      if (ok) write.range(at, done.memory.load<uint32_t>(other).value_or(0));
      break;
    case Extent::message:
      if (ok) write.message(at, count);
      break;
    case Extent::messages:
      for (uint64_t i = 0; i < count; ++i) {
        const uint64_t one = at + i * kMessage;
        write.message(one, done.memory.load<uint32_t>(one + kMessageLength).value_or(0));
        write.range(one + kMessageLength, 4);
      }
      break;
    case Extent::sent:
      for (uint64_t i = 0; i < count; ++i) write.range(at + i * kMessage + kMessageLength, 4);
      break;
    case Extent::events:
      for (uint64_t i = 0; ok && i < other; ++i) write.range(at + i * kPollFd + kRevents, 2);
      break;
    case Extent::descriptors:
      if (ok) write.range(at, bytes_of_bits(other));
      break;
  }
}

void input_lengths(const Syscall& call, size_t index, const SyscallArguments& arguments,
                   const GuestMemory& memory, std::vector<uint64_t>& out) {
  const auto& argument = call.arguments[index];
  const uint64_t at = arguments[index];
  if (at == 0) return;
  switch (argument.extent) {
    case Extent::address:
      out.push_back(memory.load<uint32_t>(arguments[argument.other]).value_or(0));
      break;
    case Extent::message:
      message_lengths(at, memory, out);
      break;
    case Extent::messages:
      for (uint64_t i = 0; i < std::min(arguments[argument.other], kMaxVector); ++i)
        message_lengths(at + i * kMessage, memory, out);
      break;
    default:
      break;
  }
}

uint64_t room_of(const Syscall& call, size_t index, const SyscallArguments& arguments,
                 const GuestMemory& memory) {
  const auto& argument = call.arguments[index];
  const uint64_t other = arguments[argument.other];
  if (arguments[index] == 0) return 0;
  switch (argument.extent) {
    case Extent::none:
      return argument.kind == Kind::output ? argument.unit : 0;
    case Extent::fixed:
    case Extent::always:
    case Extent::interrupted:
    case Extent::positive:
    case Extent::length:
      return argument.unit;
    case Extent::returned:
      return other;
    case Extent::elements:
    case Extent::counted:
      return static_cast<int64_t>(other) < 0 ? 0 : argument.unit * other;
    case Extent::address:
    case Extent::sized:
      return memory.load<uint32_t>(other).value_or(0);
    case Extent::vector:
      return std::min(other, kMaxVector) * sizeof(iovec);
    case Extent::message:
      return sizeof(msghdr);
    case Extent::messages:
    case Extent::sent:
      return std::min(other, kMaxVector) * kMessage;
    case Extent::events:
      return other * kPollFd;
    case Extent::descriptors:
      return bytes_of_bits(other);
  }
  return 0;
}

}  // namespace heddle
