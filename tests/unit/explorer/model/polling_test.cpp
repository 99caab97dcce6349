#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "tests/unit/explorer/model/input_output_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

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

// A server's connections: the recording closed the first one before it accepted the second one.
class OutsideEpollTest : public EpollTest {
 protected:
  OutsideEpollTest() {
    recorded.call(1, SYS_epoll_create1, {0}, 3)
        .call(1, SYS_socket, {2, 1, 0}, 4)
        .call(1, SYS_accept4, {4, 0, 0, 0}, 5)
        .call(1, SYS_read, {5, kBuffer, 100}, 2, {bytes_at(kBuffer, "ab")})
        .call(1, SYS_read, {5, kBuffer, 100}, 1, {bytes_at(kBuffer, "c")})
        .call(1, SYS_read, {5, kBuffer, 100}, 0)
        .call(1, SYS_close, {5}, 0)
        .call(1, SYS_accept4, {4, 0, 0, 0}, 5)
        .call(1, SYS_read, {5, kBuffer, 100}, 1, {bytes_at(kBuffer, "d")});
  }
  void SetUp() override {
    EpollTest::SetUp();
    EXPECT_EQ(result(1, SYS_socket, {2, 1, 0}), 4);
  }
  uint64_t accept() { return static_cast<uint64_t>(result(1, SYS_accept4, {4, 0, 0, 0})); }
  uint32_t events_of_first() { return memory.load<epoll_event>(kData + 0x300)->events; }
};

TEST_F(OutsideEpollTest, ReportsWhatIsLeftWhicheverNumberItHas) {
  control(EPOLL_CTL_ADD, 4, EPOLLIN, 44);
  EXPECT_THAT(ready(), ElementsAre(44));
  ASSERT_EQ(accept(), 5U);
  EXPECT_THAT(ready(), ElementsAre(44)) << "one more comes";
  ASSERT_EQ(accept(), 6U) << "it was 5 in the recorded run";
  EXPECT_THAT(ready(), IsEmpty());
  control(EPOLL_CTL_ADD, 6, EPOLLIN, 66);
  control(EPOLL_CTL_ADD, 5, EPOLLIN, 55);
  EXPECT_THAT(ready(), ElementsAre(55, 66));
  EXPECT_EQ(read(1, 6, 100), "d");
  EXPECT_THAT(ready(), ElementsAre(55));
}

TEST_F(OutsideEpollTest, WhatComesNextIsAnEdge) {
  accept();
  control(EPOLL_CTL_ADD, 5, EPOLLIN | EPOLLRDHUP | EPOLLET, 55);
  EXPECT_THAT(ready(), ElementsAre(55));
  EXPECT_THAT(ready(), IsEmpty());
  EXPECT_EQ(read(1, 5, 1), "a");
  EXPECT_THAT(ready(), IsEmpty()) << "the rest had come with it";
  EXPECT_EQ(read(1, 5, 100), "b");
  EXPECT_THAT(ready(), ElementsAre(55));
  EXPECT_EQ(events_of_first(), uint32_t{EPOLLIN});
  EXPECT_EQ(read(1, 5, 100), "c");
  EXPECT_THAT(ready(), ElementsAre(55));
  EXPECT_EQ(events_of_first(), uint32_t{EPOLLIN | EPOLLRDHUP});
  EXPECT_EQ(read(1, 5, 100), "");
}

TEST_F(OutsideEpollTest, WhatIsAcceptedMeanwhileWakesAWaiter) {
  const TaskId other = thread();
  accept();
  EXPECT_EQ(wait(other, 10, -1).kind, SyscallAnswer::Kind::blocks);
  control(EPOLL_CTL_ADD, 5, EPOLLIN, 55);
  EXPECT_THAT(events(collected(other)), ElementsAre(55));
}

TEST_F(EpollTest, OnlyAnEpollIsOne) {
  const Pair p = pipe();
  EXPECT_EQ(result(1, SYS_epoll_wait, {p.reader, kData, 1, 0}), -EINVAL);
  EXPECT_EQ(result(1, SYS_epoll_ctl, {p.reader, EPOLL_CTL_ADD, p.writer, kData}), -EINVAL);
  EXPECT_EQ(result(1, SYS_epoll_ctl, {epoll, EPOLL_CTL_ADD, 99, kData}), -EBADF);
}

}  // namespace
}  // namespace heddle
