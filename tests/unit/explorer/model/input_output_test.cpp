#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tests/unit/explorer/model/input_output_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(InputOutputTest, OutputIsKeptByStream) {
  EXPECT_EQ(write(1, 1, "one "), 4);
  EXPECT_EQ(write(1, 2, "error"), 5);
  memory.store(kData, iovec{reinterpret_cast<void*>(kBuffer), 2});
  memory.store(kData + 16, iovec{reinterpret_cast<void*>(kBuffer + 2), 3});
  store_text(kBuffer, "three");
  EXPECT_EQ(result(1, SYS_writev, {1, kData, 2}), 5);
  EXPECT_EQ(kernel().output(1), "one three");
  EXPECT_EQ(kernel().output(2), "error");
  EXPECT_EQ(result(1, SYS_write, {1, kUnmapped, 5}), -EFAULT);
}

TEST_F(InputOutputTest, OutputThroughADuplicateIsTheSame) {
  EXPECT_EQ(result(1, SYS_dup, {1}), 3);
  EXPECT_EQ(write(1, 3, "a"), 1);
  EXPECT_EQ(result(1, SYS_dup2, {2, 1}), 1);
  EXPECT_EQ(write(1, 1, "b"), 1);
  EXPECT_EQ(kernel().output(1), "a");
  EXPECT_EQ(kernel().output(2), "b");
}

TEST_F(InputOutputTest, NumbersAreTheLowestThatAreFree) {
  const Pair first = pipe();
  EXPECT_EQ(first.reader, 3u);
  EXPECT_EQ(first.writer, 4u);
  EXPECT_EQ(result(1, SYS_close, {3}), 0);
  EXPECT_EQ(result(1, SYS_dup, {4}), 3);
  EXPECT_EQ(result(1, SYS_fcntl, {4, F_DUPFD, 10}), 10);
  EXPECT_EQ(result(1, SYS_fcntl, {4, F_DUPFD_CLOEXEC, 10}), 11);
  EXPECT_EQ(result(1, SYS_fcntl, {11, F_GETFD}), FD_CLOEXEC);
  EXPECT_EQ(result(1, SYS_fcntl, {10, F_GETFD}), 0);
  EXPECT_EQ(result(1, SYS_dup3, {4, 20, O_CLOEXEC}), 20);
  EXPECT_EQ(result(1, SYS_dup3, {4, 4, 0}), -EINVAL);
  EXPECT_EQ(result(1, SYS_dup2, {4, 4}), 4);
}

TEST_F(InputOutputTest, NumbersThatAreNotInUseAreRefused) {
  EXPECT_EQ(result(1, SYS_close, {7}), -EBADF);
  EXPECT_EQ(result(1, SYS_read, {7, kBuffer, 1}), -EBADF);
  EXPECT_EQ(result(1, SYS_dup2, {7, 8}), -EBADF);
  const Pair p = pipe();
  EXPECT_EQ(result(1, SYS_close, {p.reader}), 0);
  EXPECT_EQ(result(1, SYS_close, {p.reader}), -EBADF);
  EXPECT_EQ(result(1, SYS_read, {p.writer, kBuffer, 1}), -EBADF);
}

TEST_F(InputOutputTest, APipeKeepsTheOrderOfItsBytes) {
  const Pair p = pipe();
  EXPECT_EQ(write(1, p.writer, "hello "), 6);
  EXPECT_EQ(write(1, p.writer, "world"), 5);
  EXPECT_EQ(read(1, p.reader, 3), "hel");
  EXPECT_EQ(result(1, SYS_ioctl, {p.reader, FIONREAD, kData}), 0);
  EXPECT_EQ(word(kData), 8u);
  EXPECT_EQ(read(1, p.reader, 100), "lo world");
  EXPECT_EQ(result(1, SYS_lseek, {p.reader, 0, SEEK_SET}), -ESPIPE);
}

TEST_F(InputOutputTest, AReaderWaitsForAWriter) {
  const TaskId other = thread();
  const Pair p = pipe();
  blocks(other, SYS_read, {p.reader, kBuffer, 100});
  EXPECT_THAT(kernel().deadlock_description(memory),
              HasSubstr("thread 2 waits for a pipe to read from"));
  EXPECT_EQ(write(1, p.writer, "now"), 3);
  EXPECT_THAT(runnable(), ElementsAre(1, other));
  EXPECT_EQ(text(kBuffer, 3), std::string(3, 0)) << "written when it runs again";
  EXPECT_EQ(collected(other), 3);
  EXPECT_EQ(text(kBuffer, 3), "now");
}

TEST_F(InputOutputTest, ReadersGetWhatTheyWaitedForInTheirOrder) {
  const TaskId a = thread(), b = thread();
  const Pair p = pipe();
  blocks(a, SYS_read, {p.reader, kBuffer, 2});
  blocks(b, SYS_read, {p.reader, kBuffer + 16, 2});
  EXPECT_EQ(write(1, p.writer, "xyz"), 3);
  EXPECT_EQ(collected(a), 2);
  EXPECT_EQ(collected(b), 1);
  EXPECT_EQ(text(kBuffer, 2), "xy");
  EXPECT_EQ(text(kBuffer + 16, 1), "z");
}

TEST_F(InputOutputTest, AWriterWaitsForRoom) {
  const TaskId other = thread();
  const Pair p = pipe();
  memory.map(0x100000, 100'000);
  blocks(other, SYS_write, {p.writer, 0x100000, 100'000});
  int64_t count = 0;
  memory.map(0x200000, 100'000);
  while (count < 100'000) {
    const int64_t got = result(1, SYS_read, {p.reader, 0x200000, 30'000});
    ASSERT_GT(got, 0);
    count += got;
  }
  EXPECT_EQ(count, 100'000);
  EXPECT_EQ(collected(other), 100'000);
}

TEST_F(InputOutputTest, AReaderThatCameFirstGetsWhatAWaitingWriterWrites) {
  const TaskId reader = thread();
  const Pair p = pipe();
  memory.map(0x100000, 200'000);
  blocks(reader, SYS_read, {p.reader, kBuffer, 10});
  blocks(1, SYS_write, {p.writer, 0x100000, 200'000});
  EXPECT_EQ(collected(reader), 10);
}

TEST_F(InputOutputTest, SmallWritesAreAllOrNothing) {
  const Pair p = pipe(O_NONBLOCK);
  memory.map(0x100000, 100'000);
  EXPECT_EQ(result(1, SYS_write, {p.writer, 0x100000, 65'000}), 65'000);
  EXPECT_EQ(result(1, SYS_write, {p.writer, 0x100000, 1000}), -EAGAIN);
  EXPECT_EQ(result(1, SYS_write, {p.writer, 0x100000, 5000}), 536);
  EXPECT_EQ(result(1, SYS_write, {p.writer, 0x100000, 5000}), -EAGAIN);
}

TEST_F(InputOutputTest, NonblockingIsTheFilesNotTheNumbers) {
  const Pair p = pipe();
  ASSERT_EQ(result(1, SYS_dup, {p.reader}), 5);
  EXPECT_EQ(result(1, SYS_fcntl, {p.reader, F_SETFL, O_NONBLOCK}), 0);
  EXPECT_EQ(result(1, SYS_fcntl, {5, F_GETFL}), O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(result(1, SYS_read, {5, kBuffer, 1}), -EAGAIN);
}

TEST_F(InputOutputTest, TheEndOfAPipe) {
  const TaskId other = thread();
  const Pair p = pipe();
  ASSERT_EQ(result(1, SYS_dup, {p.writer}), 5);
  write(1, p.writer, "last");
  EXPECT_EQ(result(1, SYS_close, {p.writer}), 0);
  EXPECT_EQ(read(1, p.reader, 10), "last");
  blocks(other, SYS_read, {p.reader, kBuffer, 10});
  EXPECT_EQ(result(1, SYS_close, {5}), 0);
  EXPECT_EQ(collected(other), 0);
}

TEST_F(InputOutputTest, APipeThatNobodyReadsIsBroken) {
  const TaskId other = thread();
  const Pair p = pipe();
  memory.map(0x100000, 100'000);
  blocks(other, SYS_write, {p.writer, 0x100000, 100'000});
  EXPECT_EQ(result(1, SYS_close, {p.reader}), 0);
  EXPECT_EQ(collected(other), -EPIPE);
  EXPECT_EQ(kernel().take_signal(other)->number, SIGPIPE);
  EXPECT_EQ(write(1, p.writer, "x"), -EPIPE);
  EXPECT_EQ(kernel().take_signal(1)->number, SIGPIPE);
}

TEST_F(InputOutputTest, ClosingANumberDoesNotEndACallThatWaitsOnIt) {
  const TaskId other = thread();
  const Pair p = pipe();
  blocks(other, SYS_read, {p.reader, kBuffer, 10});
  EXPECT_EQ(result(1, SYS_close, {p.reader}), 0);
  EXPECT_THAT(runnable(), ElementsAre(1));
  // The number is somebody else's now, the file is still read from.
  EXPECT_EQ(result(1, SYS_eventfd2, {0, 0}), static_cast<int64_t>(p.reader));
  EXPECT_EQ(write(1, p.writer, "x"), 1);
  EXPECT_EQ(collected(other), 1);
  EXPECT_EQ(write(1, p.writer, "x"), -EPIPE) << "that was the last one who read";
}

TEST_F(InputOutputTest, ASignalEndsAReadThatWaits) {
  const TaskId other = thread();
  const Pair p = pipe();
  memory.store(kData, std::array<uint64_t, 4>{0x400000, 0, 0, 0});
  ASSERT_EQ(result(1, SYS_rt_sigaction, {SIGUSR1, kData, 0, 8}), 0);
  blocks(other, SYS_read, {p.reader, kBuffer, 10});
  const auto pid = static_cast<uint64_t>(result(1, SYS_getpid));
  EXPECT_EQ(result(1, SYS_tgkill, {pid, 100'000 + other, SIGUSR1}), 0);
  EXPECT_EQ(collected(other), -EINTR);
  write(1, p.writer, "x");
  EXPECT_EQ(read(1, p.reader, 1), "x") << "nobody waits for it any more";
}

TEST_F(InputOutputTest, ASocketPairGoesBothWays) {
  ASSERT_EQ(result(1, SYS_socketpair, {AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, kData}), 0);
  const uint64_t a = word(kData), b = word(kData + 4);
  write(1, a, "to b");
  write(1, b, "to a");
  EXPECT_EQ(read(1, a, 10), "to a");
  EXPECT_EQ(read(1, b, 10), "to b");
  EXPECT_EQ(result(1, SYS_recvfrom, {a, kBuffer, 10, MSG_DONTWAIT, 0, 0}), -EAGAIN);
  EXPECT_EQ(result(1, SYS_shutdown, {a, SHUT_WR}), 0);
  EXPECT_EQ(read(1, b, 10), "");
  EXPECT_EQ(write(1, b, "still"), 5);
  EXPECT_EQ(read(1, a, 10), "still");
}

TEST_F(InputOutputTest, AnEventCounterCounts) {
  const TaskId other = thread();
  const auto counter = static_cast<uint64_t>(result(1, SYS_eventfd2, {3, 0}));
  const auto add = [&](uint64_t value) {
    memory.store(kBuffer + 64, value);
    return result(1, SYS_write, {counter, kBuffer + 64, 8});
  };
  EXPECT_EQ(add(4), 8);
  EXPECT_EQ(result(1, SYS_read, {counter, kBuffer, 8}), 8);
  EXPECT_EQ(quad(kBuffer), 7u);
  EXPECT_EQ(result(1, SYS_read, {counter, kBuffer, 4}), -EINVAL);
  blocks(other, SYS_read, {counter, kBuffer, 8});
  EXPECT_EQ(add(1), 8);
  EXPECT_EQ(collected(other), 8);
  EXPECT_EQ(quad(kBuffer), 1u);
  EXPECT_EQ(add(~uint64_t{0}), -EINVAL);
}

TEST_F(InputOutputTest, AFullEventCounterMakesItsWriterWait) {
  const TaskId other = thread();
  const auto counter = static_cast<uint64_t>(result(1, SYS_eventfd2, {0, 0}));
  memory.store(kBuffer + 64, ~uint64_t{0} - 1);
  EXPECT_EQ(result(1, SYS_write, {counter, kBuffer + 64, 8}), 8);
  memory.store(kBuffer + 64, uint64_t{1});
  blocks(other, SYS_write, {counter, kBuffer + 64, 8});
  EXPECT_EQ(result(1, SYS_read, {counter, kBuffer, 8}), 8);
  EXPECT_EQ(collected(other), 8);
}

TEST_F(InputOutputTest, ASemaphoreCountsDownByOne) {
  const auto counter =
      static_cast<uint64_t>(result(1, SYS_eventfd2, {2, EFD_SEMAPHORE | EFD_NONBLOCK}));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(result(1, SYS_read, {counter, kBuffer, 8}), 8);
    EXPECT_EQ(quad(kBuffer), 1u);
  }
  EXPECT_EQ(result(1, SYS_read, {counter, kBuffer, 8}), -EAGAIN);
}

}  // namespace
}  // namespace heddle
