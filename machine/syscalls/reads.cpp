#include "machine/syscalls/reads.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>

#include "machine/syscalls/rows.h"

namespace heddle {
namespace {

constexpr uint64_t kMaxVector = 1024;  // UIO_MAXIOV
constexpr uint64_t kMessage = 64;      // struct mmsghdr
constexpr uint64_t kPollFd = 8;

class Reader {
 public:
  Reader(const GuestMemory& memory, std::vector<MemoryRange>& out) : memory_(memory), out_(out) {}

  void range(uint64_t address, uint64_t size) {
    if (address != 0 && size != 0) out_.push_back({address, size});
  }

  void text(uint64_t address) {
    if (address == 0) return;
    if (const auto string = memory_.string(address)) range(address, string->size() + 1);
  }

  // The first `bytes` bytes that the vector's parts name.
  void vector(uint64_t at, uint64_t count, uint64_t bytes) {
    count = std::min(count, kMaxVector);
    range(at, count * sizeof(iovec));
    for (uint64_t i = 0; i < count && bytes > 0; ++i) {
      const auto part = memory_.load<iovec>(at + i * sizeof(iovec));
      if (!part) return;
      const uint64_t taken = std::min<uint64_t>(bytes, part->iov_len);
      range(reinterpret_cast<uint64_t>(part->iov_base), taken);
      bytes -= taken;
    }
  }

  void message(uint64_t at, uint64_t bytes) {
    const auto header = memory_.load<msghdr>(at);
    if (!header) return;
    range(at, sizeof *header);
    range(reinterpret_cast<uint64_t>(header->msg_name), header->msg_namelen);
    range(reinterpret_cast<uint64_t>(header->msg_control), header->msg_controllen);
    vector(reinterpret_cast<uint64_t>(header->msg_iov), header->msg_iovlen, bytes);
  }

 private:
  const GuestMemory& memory_;
  std::vector<MemoryRange>& out_;
};

}  // namespace

std::vector<MemoryRange> reads(const Syscall& call, const SyscallArguments& a, int64_t result,
                               const GuestMemory& memory) {
  std::vector<MemoryRange> out;
  Reader reader(memory, out);
  for (size_t i = 0; i < a.size(); ++i)
    if (call.arguments[i].kind == Kind::path) reader.text(a[i]);
  const uint64_t taken = result > 0 ? static_cast<uint64_t>(result) : 0;
  switch (call.number) {
    case SYS_write:
    case SYS_pwrite64:
      reader.range(a[1], std::min(taken, a[2]));
      break;
    case SYS_sendto:
      reader.range(a[1], std::min(taken, a[2]));
      reader.range(a[4], a[5]);
      break;
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
      reader.vector(a[1], a[2], taken);
      break;
    case SYS_readv:
    case SYS_preadv:
    case SYS_preadv2:
      reader.vector(a[1], a[2], 0);
      break;
    case SYS_sendmsg:
      reader.message(a[1], taken);
      break;
    case SYS_sendmmsg:
      for (uint64_t i = 0; i < taken; ++i) {
        const uint64_t at = a[1] + i * kMessage;
        const auto sent = memory.load<uint32_t>(at + sizeof(msghdr));
        reader.message(at, sent.value_or(0));
      }
      break;
    case SYS_connect:
    case SYS_bind:
      reader.range(a[1], a[2]);
      break;
    case SYS_setsockopt:
      reader.range(a[3], a[4]);
      break;
    case SYS_poll:
    case SYS_ppoll:
      reader.range(a[0], a[1] * kPollFd);
      break;
    case SYS_epoll_ctl:
      reader.range(a[3], rows::kEpollEvent);
      break;
    case SYS_nanosleep:
      reader.range(a[0], rows::kTimespec);
      break;
    case SYS_clock_nanosleep:
      reader.range(a[2], rows::kTimespec);
      break;
    default:
      break;
  }
  return out;
}

}  // namespace heddle
