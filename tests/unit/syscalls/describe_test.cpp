#include "machine/syscalls/describe.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <csignal>

namespace heddle {
namespace {

event::Syscall call(uint64_t number, std::array<uint64_t, 6> arguments, int64_t result) {
  event::Syscall out;
  out.number = static_cast<uint32_t>(number);
  out.arguments = arguments;
  out.result = result;
  return out;
}

TEST(Describe, NamesAndFlags) {
  auto open =
      call(SYS_openat, {static_cast<uint64_t>(AT_FDCWD), 0x1000, O_RDWR | O_CREAT, 0644}, 3);
  EXPECT_EQ(describe_call(open), "openat(AT_FDCWD, 0x1000, O_RDWR|O_CREAT, 0644) = 3");
  open.texts = {"/tmp/a \"b\"\n"};
  EXPECT_EQ(describe_call(open), R"(openat(AT_FDCWD, "/tmp/a \"b\"\n", O_RDWR|O_CREAT, 0644) = 3)");
  EXPECT_EQ(describe_call(call(SYS_kill, {7, SIGUSR1}, -EPERM)), "kill(7, SIGUSR1) = -1 EPERM");
  EXPECT_EQ(
      describe_call(call(
          SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~uint64_t{0}, 0},
          0x7f0000000000)),
      "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = "
      "0x7f0000000000");
  EXPECT_EQ(
      describe_call(call(
          SYS_futex, {0x10, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 1, 0, 0, ~0u}, 0)),
      "futex(0x10, FUTEX_WAIT_BITSET|FUTEX_PRIVATE_FLAG|FUTEX_CLOCK_REALTIME, 1, NULL, "
      "NULL, 4294967295) = 0");
  EXPECT_EQ(describe_call(call(SYS_socket, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0}, 5)),
            "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 5");
}

TEST(Describe, WhatWasWritten) {
  auto read = call(SYS_read, {3, 0x1000, 100}, 4);
  read.effects = {{0x1000, {'a', '\\', 0, 0xff}}};
  EXPECT_EQ(describe_call(read), R"(read(3, "a\\\x00\xff", 100) = 4)");
  read.effects[0].bytes.assign(50, 'x');
  EXPECT_EQ(describe_call(read), "read(3, \"" + std::string(32, 'x') + "\"..., 100) = 4");
  auto pipe = call(SYS_pipe2, {0x1000, O_CLOEXEC}, 0);
  pipe.effects = {{0x1000, {3, 0, 0, 0, 4, 0, 0, 0}}};
  EXPECT_EQ(describe_call(pipe), "pipe2([3, 4], O_RDONLY|O_CLOEXEC) = 0");
}

TEST(Describe, WhatIsNotKnownAndWhatIsMadeAgain) {
  EXPECT_EQ(describe_call(call(999, {1, 2, 0, 0, 0, 0}, -ENOSYS)),
            "system call 999(0x1, 0x2, 0, 0, 0, 0) = -1 ENOSYS");
  auto again = call(SYS_pause, {}, -512);
  again.interrupted = true;
  EXPECT_EQ(describe_call(again), "pause() = ? (made again)");
  EXPECT_EQ(describe_request(call(SYS_getpid, {9}, 0)), "getpid()");
}

}  // namespace
}  // namespace heddle
