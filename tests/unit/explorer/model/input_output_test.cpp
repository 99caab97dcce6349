#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "tests/unit/explorer/model/kernel_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class InputOutputTest : public KernelTest {
 protected:
  struct Pair {
    uint64_t reader, writer;
  };
  Pair pipe(uint64_t flags = 0) {
    EXPECT_EQ(result(1, SYS_pipe2, {kData, flags}), 0);
    return {word(kData), word(kData + 4)};
  }
  int64_t write(TaskId task, uint64_t descriptor, std::string_view bytes) {
    store_text(kBuffer + 0x800, bytes);
    return result(task, SYS_write, {descriptor, kBuffer + 0x800, bytes.size()});
  }
  // What a read that returns at once gives; "?" and the result where it is an error.
  std::string read(TaskId task, uint64_t descriptor, uint64_t size) {
    const int64_t count = result(task, SYS_read, {descriptor, kBuffer, size});
    if (count < 0) return "?" + std::to_string(count);
    return text(kBuffer, static_cast<size_t>(count));
  }
};

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
  EXPECT_THAT(kernel().deadlock_description(), HasSubstr("thread 2 waits for a pipe to read from"));
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

class PollTest : public InputOutputTest {
 protected:
  void entry(size_t i, uint64_t descriptor, short events) {
    memory.store(kData + 0x100 + i * sizeof(pollfd),
                 pollfd{static_cast<int>(descriptor), events, short{-1}});
  }
  short found(size_t i) { return memory.load<pollfd>(kData + 0x100 + i * sizeof(pollfd))->revents; }
  SyscallAnswer poll(TaskId task, uint64_t count, int timeout) {
    return call(task, SYS_poll,
                {kData + 0x100, count, static_cast<uint64_t>(static_cast<uint32_t>(timeout))});
  }
};

TEST_F(PollTest, TellsWhatIsReady) {
  const Pair p = pipe();
  entry(0, p.reader, POLLIN);
  entry(1, p.writer, POLLOUT);
  entry(2, 77, POLLIN);
  entry(3, ~uint64_t{0}, POLLIN);
  EXPECT_EQ(poll(1, 4, -1).result, 2);
  EXPECT_EQ(found(0), 0);
  EXPECT_EQ(found(1), POLLOUT);
  EXPECT_EQ(found(2), POLLNVAL);
  EXPECT_EQ(found(3), 0);
  write(1, p.writer, "x");
  EXPECT_EQ(poll(1, 1, 0).result, 1);
  EXPECT_EQ(found(0), POLLIN);
  result(1, SYS_close, {p.writer});
  read(1, p.reader, 1);
  EXPECT_EQ(poll(1, 1, 0).result, 1);
  EXPECT_EQ(found(0), POLLHUP);
}

TEST_F(PollTest, WaitsUntilSomethingIs) {
  const TaskId other = thread();
  const Pair p = pipe();
  entry(0, p.reader, POLLIN);
  EXPECT_EQ(poll(other, 1, -1).kind, SyscallAnswer::Kind::blocks);
  write(1, p.writer, "x");
  EXPECT_EQ(collected(other), 1);
  EXPECT_EQ(found(0), POLLIN);
}

TEST_F(PollTest, HasATimeLimit) {
  const Pair p = pipe();
  entry(0, p.reader, POLLIN);
  EXPECT_EQ(poll(1, 1, 0).result, 0);
  EXPECT_EQ(found(0), 0);
  entry(0, p.reader, POLLIN);
  const uint64_t before = kernel().now_ns();
  EXPECT_EQ(poll(1, 1, 5).kind, SyscallAnswer::Kind::blocks);
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(kernel().now_ns(), before + 200 + 5'000'000);
  EXPECT_EQ(collected(1), 0);
  EXPECT_EQ(found(0), 0);
  store_time(kBuffer, 0, 3000);
  blocks(1, SYS_ppoll, {kData + 0x100, 1, kBuffer, 0, 8});
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(collected(1), 0);
}

class EpollTest : public InputOutputTest {
 protected:
  EpollTest() : epoll(0) {}
  void SetUp() override { epoll = static_cast<uint64_t>(result(1, SYS_epoll_create1, {0})); }

  int64_t control(uint64_t operation, uint64_t descriptor, uint32_t events, uint64_t data = 0) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = data;
    memory.store(kData + 0x200, event);
    return result(1, SYS_epoll_ctl, {epoll, operation, descriptor, kData + 0x200});
  }
  SyscallAnswer wait(TaskId task, uint64_t most, int timeout) {
    return call(
        task, SYS_epoll_wait,
        {epoll, kData + 0x300, most, static_cast<uint64_t>(static_cast<uint32_t>(timeout))});
  }
  // The data of what is ready now.
  std::vector<uint64_t> ready(uint64_t most = 10) { return events(wait(1, most, 0).result); }
  std::vector<uint64_t> events(int64_t count) {
    std::vector<uint64_t> data;
    for (int64_t i = 0; i < count; ++i)
      data.push_back(
          memory.load<epoll_event>(kData + 0x300 + static_cast<uint64_t>(i) * sizeof(epoll_event))
              ->data.u64);
    return data;
  }

  uint64_t epoll;
};

TEST_F(EpollTest, ReportsAsLongAsItIsReady) {
  const Pair p = pipe();
  EXPECT_EQ(control(EPOLL_CTL_ADD, p.reader, EPOLLIN, 11), 0);
  EXPECT_EQ(control(EPOLL_CTL_ADD, p.reader, EPOLLIN, 11), -EEXIST);
  EXPECT_THAT(ready(), IsEmpty());
  write(1, p.writer, "x");
  EXPECT_THAT(ready(), ElementsAre(11));
  EXPECT_THAT(ready(), ElementsAre(11));
  read(1, p.reader, 1);
  EXPECT_THAT(ready(), IsEmpty());
  EXPECT_EQ(control(EPOLL_CTL_DEL, p.reader, 0), 0);
  EXPECT_EQ(control(EPOLL_CTL_DEL, p.reader, 0), -ENOENT);
  EXPECT_EQ(control(EPOLL_CTL_MOD, p.reader, EPOLLIN), -ENOENT);
}

TEST_F(EpollTest, EdgesAreReportedOnce) {
  const Pair p = pipe();
  control(EPOLL_CTL_ADD, p.reader, EPOLLIN | EPOLLET, 11);
  write(1, p.writer, "x");
  EXPECT_THAT(ready(), ElementsAre(11));
  EXPECT_THAT(ready(), IsEmpty());
  write(1, p.writer, "y");
  EXPECT_THAT(ready(), ElementsAre(11)) << "new bytes are an edge, though it was readable";
  EXPECT_THAT(ready(), IsEmpty());
}

TEST_F(EpollTest, ReadinessBeforeTheInterestIsReportedToo) {
  const Pair p = pipe();
  write(1, p.writer, "x");
  control(EPOLL_CTL_ADD, p.reader, EPOLLIN | EPOLLET, 11);
  EXPECT_THAT(ready(), ElementsAre(11));
  EXPECT_THAT(ready(), IsEmpty());
  control(EPOLL_CTL_MOD, p.reader, EPOLLIN | EPOLLET, 12);
  EXPECT_THAT(ready(), ElementsAre(12));
}

TEST_F(EpollTest, OneShotsAreReportedOnceUntilTheyAreSetAgain) {
  const Pair p = pipe();
  control(EPOLL_CTL_ADD, p.reader, EPOLLIN | EPOLLONESHOT, 11);
  write(1, p.writer, "x");
  EXPECT_THAT(ready(), ElementsAre(11));
  write(1, p.writer, "y");
  EXPECT_THAT(ready(), IsEmpty());
  control(EPOLL_CTL_MOD, p.reader, EPOLLIN | EPOLLONESHOT, 11);
  EXPECT_THAT(ready(), ElementsAre(11));
}

TEST_F(EpollTest, WithRoomForFewEveryoneHasItsTurn) {
  std::vector<Pair> pipes;
  for (uint64_t i = 0; i < 3; ++i) {
    pipes.push_back(pipe());
    control(EPOLL_CTL_ADD, pipes[i].reader, EPOLLIN, 11 + i);
    write(1, pipes[i].writer, "x");
  }
  EXPECT_THAT(ready(2), ElementsAre(11, 12));
  EXPECT_THAT(ready(2), ElementsAre(13, 11));
}

TEST_F(EpollTest, AWaiterIsWoken) {
  const TaskId other = thread();
  const Pair p = pipe();
  control(EPOLL_CTL_ADD, p.reader, EPOLLIN, 11);
  EXPECT_EQ(wait(other, 10, -1).kind, SyscallAnswer::Kind::blocks);
  write(1, p.writer, "x");
  EXPECT_THAT(events(collected(other)), ElementsAre(11));
}

TEST_F(EpollTest, AnInterestAddedMeanwhileCountsToo) {
  const TaskId other = thread();
  EXPECT_EQ(wait(other, 10, -1).kind, SyscallAnswer::Kind::blocks);
  const Pair p = pipe();
  write(1, p.writer, "x");
  control(EPOLL_CTL_ADD, p.reader, EPOLLIN, 11);
  EXPECT_THAT(events(collected(other)), ElementsAre(11));
}

TEST_F(EpollTest, ATimeLimitEndsTheWait) {
  EXPECT_EQ(wait(1, 10, 7).kind, SyscallAnswer::Kind::blocks);
  EXPECT_TRUE(kernel().advance_time());
  EXPECT_EQ(collected(1), 0);
  EXPECT_EQ(wait(1, 0, 7).result, -EINVAL);
}

TEST_F(EpollTest, TheLastCloseEndsTheInterest) {
  const Pair p = pipe();
  control(EPOLL_CTL_ADD, p.reader, EPOLLIN, 11);
  ASSERT_EQ(result(1, SYS_dup, {p.reader}), 6);
  write(1, p.writer, "x");
  result(1, SYS_close, {p.reader});
  EXPECT_THAT(ready(), ElementsAre(11)) << "the duplicate keeps the file open";
  result(1, SYS_close, {6});
  EXPECT_THAT(ready(), IsEmpty());
}

TEST_F(EpollTest, AnEpollCanBePolledItself) {
  const Pair p = pipe();
  control(EPOLL_CTL_ADD, p.reader, EPOLLIN, 11);
  memory.store(kData + 0x100, pollfd{static_cast<int>(epoll), POLLIN, 0});
  EXPECT_EQ(result(1, SYS_poll, {kData + 0x100, 1, 0}), 0);
  write(1, p.writer, "x");
  EXPECT_EQ(result(1, SYS_poll, {kData + 0x100, 1, 0}), 1);
  EXPECT_EQ(control(EPOLL_CTL_ADD, epoll, EPOLLIN), -EINVAL);
}

TEST_F(EpollTest, OnlyAnEpollIsOne) {
  const Pair p = pipe();
  EXPECT_EQ(result(1, SYS_epoll_wait, {p.reader, kData, 1, 0}), -EINVAL);
  EXPECT_EQ(result(1, SYS_epoll_ctl, {p.reader, EPOLL_CTL_ADD, p.writer, kData}), -EINVAL);
  EXPECT_EQ(result(1, SYS_epoll_ctl, {epoll, EPOLL_CTL_ADD, 99, kData}), -EBADF);
}

}  // namespace
}  // namespace heddle
