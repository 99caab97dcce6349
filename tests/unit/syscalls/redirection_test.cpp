// A call made with its buffers elsewhere has the same effects at the guest's addresses.
#include "machine/syscalls/redirection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

#include "oracle.h"

namespace heddle {
namespace {

// Makes the call redirected and then copies its effects.
int64_t redirected(uint64_t number, const SyscallArguments& arguments) {
  OwnMemory memory;
  const auto* call = find(number);
  const auto wanted = buffers(*call, arguments, memory);
  std::vector<uint8_t> scratch(Redirection::room(wanted));
  const auto redirection = Redirection::make(wanted, arguments, pointer(scratch.data()), memory);
  EXPECT_TRUE(redirection);
  const auto before = inputs(*call, redirection->arguments(), memory);
  const auto result = raw_syscall(number, redirection->arguments());
  for (const auto& effect :
       contents(effects(*call, redirection->arguments(), result, memory, before), memory))
    memory.write(redirection->original(effect.address), effect.bytes);
  return result;
}

TEST(Redirection, OfAPlainRead) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "hello", 5), 5);
  char buffer[17] = "................";
  EXPECT_EQ(redirected(SYS_read, {static_cast<uint64_t>(ends[0]), pointer(buffer), 16}), 5);
  EXPECT_EQ(std::string(buffer, 7), "hello..");
  close(ends[0]);
  close(ends[1]);
}

TEST(Redirection, OfAMessageWithItsParts) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  ASSERT_EQ(write(pair[1], "hello world", 11), 11);
  char first[4], second[16], control[64];
  iovec parts[2] = {{first, sizeof first}, {second, sizeof second}};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  header.msg_flags = -1;
  EXPECT_EQ(redirected(SYS_recvmsg, {static_cast<uint64_t>(pair[0]), pointer(&header), 0}), 11);
  EXPECT_EQ(std::string(first, 4) + std::string(second, 7), "hello world");
  EXPECT_EQ(header.msg_iov, parts);
  EXPECT_EQ(header.msg_control, control);
  EXPECT_EQ(header.msg_controllen, 0u);
  EXPECT_EQ(header.msg_flags, 0);
  close(pair[0]);
  close(pair[1]);
}

TEST(Redirection, OfMemoryThatIsNotThereIsLeftToTheKernel) {
  OwnMemory memory;
  const SyscallArguments arguments{8, 1 << 12};
  const auto* call = find(SYS_poll);
  const auto wanted = buffers(*call, {0x1000, 4}, memory);
  std::vector<uint8_t> scratch(4096);
  EXPECT_FALSE(Redirection::make(wanted, arguments, pointer(scratch.data()), memory));
}

}  // namespace
}  // namespace heddle
