// What the outside answered: calls, files, streams; and tasks, the model's other ground.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "tests/unit/explorer/model/kernel_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = SyscallAnswer::Kind;

constexpr uint64_t kCwd = static_cast<uint64_t>(int64_t{AT_FDCWD});

class RecordedTest : public KernelTest {
 protected:
  std::string read(TaskId task, uint64_t descriptor, uint64_t size) {
    const int64_t count = result(task, SYS_read, {descriptor, kBuffer, size});
    if (count < 0) return "?" + std::to_string(count);
    return text(kBuffer, static_cast<size_t>(count));
  }
  // As the recorded run did it.
  void records_open(TaskId task, uint64_t path, int64_t descriptor) {
    recorded.call(task, SYS_openat, {kCwd, path, O_RDONLY}, descriptor);
  }
  void records_read(TaskId task, uint64_t descriptor, std::string_view bytes, uint64_t size = 100) {
    recorded.call(task, SYS_read, {descriptor, 0x5000, size}, static_cast<int64_t>(bytes.size()),
                  {bytes_at(0x5000, bytes)});
  }
  int64_t open(TaskId task, uint64_t path) {
    return result(task, SYS_openat, {kCwd, path, O_RDONLY});
  }
};

TEST_F(RecordedTest, AnswersComeFromTheSameTaskAndCode) {
  recorded.add(
      1, event::Syscall{SYS_getrandom, {0x5000, 4, 0}, 4, {bytes_at(0x5000, "aaaa")}, {}, 0, false},
      0, 0x1000);
  recorded.add(
      2, event::Syscall{SYS_getrandom, {0x6000, 4, 0}, 4, {bytes_at(0x6000, "bbbb")}, {}, 0, false},
      0, 0x2000);
  const TaskId other = thread();
  EXPECT_EQ(call(other, SYS_getrandom, {kBuffer, 4, 0}, 0x2000).result, 4);
  EXPECT_EQ(text(kBuffer, 4), "bbbb");
  EXPECT_EQ(call(1, SYS_getrandom, {kBuffer, 4, 0}, 0x1000).result, 4);
  EXPECT_EQ(text(kBuffer, 4), "aaaa");
}

TEST_F(RecordedTest, EachAnswerIsGivenOnce) {
  recorded.call(1, SYS_getdents64, {0, 0x5000, 100}, 3, {bytes_at(0x5000, "abc")});
  EXPECT_EQ(result(1, SYS_getdents64, {0, kBuffer, 100}), 3);
  EXPECT_THAT(infeasible(1, SYS_getdents64, {0, kBuffer, 100}),
              HasSubstr("no further answer for getdents64"));
}

TEST_F(RecordedTest, QuestionsWithOneAnswerAreAnsweredAgain) {
  recorded.call(1, SYS_sched_getaffinity, {0, 8, 0x5000}, 8, {bytes_at(0x5000, "\x03       ")});
  for (int i = 0; i < 3; ++i) {
    store(kBuffer, 0);
    EXPECT_EQ(result(1, SYS_sched_getaffinity, {0, 8, kBuffer}), 8);
    EXPECT_EQ(word(kBuffer) & 0xff, 3u);
  }
  EXPECT_THAT(infeasible(1, SYS_sysinfo, {kBuffer}), HasSubstr("sysinfo"));
}

TEST_F(RecordedTest, InterruptedAttemptsAreNoAnswers) {
  event::Syscall attempt{SYS_getdents64, {0, 0x5000, 100}, -512, {}, {}, 0, true};
  recorded.add(1, attempt);
  EXPECT_EQ(call(1, SYS_getdents64, {0, kBuffer, 100}).kind, Kind::infeasible);
}

TEST_F(RecordedTest, RandomBytesNeverEnd) {
  EXPECT_EQ(result(1, SYS_getrandom, {kBuffer, 16, 0}), 16);
  const std::string first = text(kBuffer, 16);
  EXPECT_EQ(result(1, SYS_getrandom, {kBuffer, 16, 0}), 16);
  EXPECT_NE(text(kBuffer, 16), first);
}

TEST_F(RecordedTest, FilesAreOpenedInAnotherOrder) {
  records_open(1, 0x7000, 3);
  records_open(2, 0x7100, 4);
  records_read(1, 3, "first");
  records_read(2, 4, "second");
  const TaskId other = thread();
  EXPECT_EQ(open(other, 0x7100), 3) << "the lowest number";
  EXPECT_EQ(open(1, 0x7000), 4);
  EXPECT_EQ(read(other, 3, 100), "second");
  EXPECT_EQ(read(1, 4, 100), "first");
}

TEST_F(RecordedTest, AFileHasItsContentByPosition) {
  records_open(1, 0x7000, 3);
  records_read(1, 3, "abcdef", 6);
  records_read(1, 3, "ghi", 6);
  records_read(1, 3, "", 6);
  ASSERT_EQ(open(1, 0x7000), 3);
  EXPECT_EQ(read(1, 3, 4), "abcd");
  EXPECT_EQ(read(1, 3, 4), "efgh");
  EXPECT_EQ(result(1, SYS_lseek, {3, 1, SEEK_SET}), 1);
  EXPECT_EQ(read(1, 3, 2), "bc");
  EXPECT_EQ(result(1, SYS_lseek, {3, 2, SEEK_CUR}), 5);
  EXPECT_EQ(read(1, 3, 100), "fghi");
  EXPECT_EQ(read(1, 3, 100), "");
  EXPECT_EQ(result(1, SYS_pread64, {3, kBuffer, 2, 0}), 2);
  EXPECT_EQ(text(kBuffer, 2), "ab");
  EXPECT_EQ(read(1, 3, 100), "") << "pread moves nothing";
}

TEST_F(RecordedTest, DuplicatesShareThePosition) {
  records_open(1, 0x7000, 3);
  records_read(1, 3, "abcdef", 6);
  ASSERT_EQ(open(1, 0x7000), 3);
  ASSERT_EQ(result(1, SYS_dup, {3}), 4);
  EXPECT_EQ(read(1, 3, 3), "abc");
  EXPECT_EQ(read(1, 4, 3), "def");
}

TEST_F(RecordedTest, AnotherFileUnderTheSameNumberIsAnotherFile) {
  records_open(1, 0x7000, 3);
  records_read(1, 3, "first");
  recorded.call(1, SYS_close, {3}, 0);
  records_open(1, 0x7100, 3);
  records_read(1, 3, "second");
  ASSERT_EQ(open(1, 0x7000), 3);
  ASSERT_EQ(result(1, SYS_close, {3}), 0);
  ASSERT_EQ(open(1, 0x7100), 3);
  EXPECT_EQ(read(1, 3, 100), "second") << "though the first one was never read";
}

TEST_F(RecordedTest, WhatWasNotReadIsNotKnown) {
  records_open(1, 0x7000, 3);
  records_read(1, 3, "abcdef", 6);
  ASSERT_EQ(open(1, 0x7000), 3);
  EXPECT_THAT(infeasible(1, SYS_read, {3, kBuffer, 100}), HasSubstr("at 0"));
  EXPECT_EQ(read(1, 3, 6), "abcdef");
  EXPECT_THAT(infeasible(1, SYS_read, {3, kBuffer, 1}), HasSubstr("at 6"));
}

TEST_F(RecordedTest, WhatTheProgramWritesItReadsBack) {
  recorded.call(1, SYS_openat, {kCwd, 0x7000, O_RDWR}, 3);
  records_read(1, 3, "abcdef", 6);
  recorded.call(1, SYS_pwrite64, {3, 0x5000, 2, 1}, 2);
  ASSERT_EQ(result(1, SYS_openat, {kCwd, 0x7000, O_RDWR}), 3);
  store_text(kBuffer, "XY");
  EXPECT_EQ(result(1, SYS_pwrite64, {3, kBuffer, 2, 1}), 2);
  EXPECT_EQ(read(1, 3, 6), "aXYdef");
}

TEST_F(RecordedTest, ErrorsOfOpeningAreErrors) {
  recorded.call(1, SYS_openat, {kCwd, 0x7000, O_RDONLY}, -ENOENT);
  EXPECT_EQ(open(1, 0x7000), -ENOENT);
  EXPECT_EQ(call(1, SYS_openat, {kCwd, 0x7000, O_RDONLY}).kind, Kind::infeasible);
}

TEST_F(RecordedTest, AStreamGivesItsBytesToWhoAsksFirst) {
  records_read(1, 0, "one\n");
  records_read(2, 0, "two\n");
  records_read(1, 0, "");
  const TaskId other = thread();
  EXPECT_EQ(read(other, 0, 100), "one\n");
  EXPECT_EQ(read(1, 0, 2), "tw");
  EXPECT_EQ(read(1, 0, 100), "o\n");
  EXPECT_EQ(read(1, 0, 100), "");
  EXPECT_EQ(read(1, 0, 100), "") << "an end stays";
}

TEST_F(RecordedTest, AStreamsEndIsNotInvented) {
  records_read(1, 0, "one\n");
  EXPECT_EQ(read(1, 0, 100), "one\n");
  EXPECT_THAT(infeasible(1, SYS_read, {0, kBuffer, 100}), HasSubstr("no further input"));
}

TEST_F(RecordedTest, InheritedDescriptorsAreKnownByTheirUse) {
  records_open(1, 0x7000, 5);  // so 3 and 4 were open
  recorded.call(1, SYS_fstat, {3, 0x5000}, 0);
  EXPECT_EQ(open(1, 0x7000), 5);
  EXPECT_EQ(result(1, SYS_fstat, {3, kBuffer}), 0);
  EXPECT_EQ(result(1, SYS_close, {4}), 0);
  EXPECT_EQ(result(1, SYS_dup, {5}), 4);
}

TEST_F(RecordedTest, WritingToTheOutsideSucceeds) {
  records_open(1, 0x7000, 3);
  ASSERT_EQ(open(1, 0x7000), 3);
  EXPECT_EQ(result(1, SYS_write, {3, kBuffer, 10}), 10);
  EXPECT_EQ(kernel().output(1), "");
}

TEST_F(RecordedTest, UnlessTheRecordedRunWasTold) {
  recorded.call(1, SYS_write, {0, 0x5000, 10}, -EIO);
  EXPECT_EQ(result(1, SYS_write, {0, kBuffer, 10}), -EIO);
}

TEST_F(RecordedTest, PollingTheOutsideTellsWhatWasRecorded) {
  const pollfd ready{0, POLLIN, POLLIN};
  const auto* raw = reinterpret_cast<const char*>(&ready);
  recorded.call(1, SYS_poll, {0x5000, 1, ~uint64_t{0}}, 1,
                {bytes_at(0x5000, std::string(raw, sizeof ready))});
  memory.store(kData, pollfd{0, POLLIN, 0});
  EXPECT_EQ(result(1, SYS_poll, {kData, 1, ~uint64_t{0}}), 1);
  EXPECT_EQ(memory.load<pollfd>(kData)->revents, POLLIN);
  // No more: nobody knows whether it would come.
  blocks(1, SYS_poll, {kData, 1, 0xffffffff});
  EXPECT_FALSE(kernel().advance_time());
  EXPECT_TRUE(kernel().waits_for_outside());
}

TEST_F(RecordedTest, WaitingForTheOutsideAndAPipeTakesThePipe) {
  ASSERT_EQ(result(1, SYS_pipe, {kBuffer}), 0);
  memory.store(kData, pollfd{0, POLLIN, 0});
  memory.store(kData + 8, pollfd{static_cast<int>(word(kBuffer)), POLLIN, 0});
  const TaskId other = thread();
  blocks(other, SYS_poll, {kData, 2, 0xffffffff});
  EXPECT_EQ(result(1, SYS_write, {word(kBuffer + 4), kBuffer, 1}), 1);
  EXPECT_EQ(collected(other), 1);
  EXPECT_EQ(memory.load<pollfd>(kData + 8)->revents, POLLIN);
}

TEST_F(RecordedTest, ARegularFileCannotBeWatched) {
  records_open(1, 0x7000, 3);
  ASSERT_EQ(open(1, 0x7000), 3);
  const auto epoll = static_cast<uint64_t>(result(1, SYS_epoll_create1, {0}));
  memory.store(kData, epoll_event{});
  EXPECT_EQ(result(1, SYS_epoll_ctl, {epoll, EPOLL_CTL_ADD, 3, kData}), -EPERM);
  EXPECT_EQ(result(1, SYS_epoll_ctl, {epoll, EPOLL_CTL_ADD, 0, kData}), 0);
}

TEST_F(RecordedTest, AMappingShowsTheFileThatItsDescriptorNames) {
  records_open(1, 0x7000, 3);
  event::Syscall map{SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE, 3, 0}, 0x7f0000, {}, {}, 0, false};
  map.file = FileRange{"aa", 0};
  recorded.add(1, map);
  recorded.call(1, SYS_close, {3}, 0);
  records_open(1, 0x7100, 3);
  map.file = FileRange{"bb", 0};
  recorded.add(1, map);

  ASSERT_EQ(open(1, 0x7100), 3);
  ASSERT_EQ(open(1, 0x7000), 4);
  const auto shown = [&](uint64_t descriptor) {
    SyscallRequest request;
    request.number = SYS_mmap;
    request.arguments = {0, 4096, PROT_READ, MAP_PRIVATE, descriptor, 0};
    request.place.task = 1;
    const auto file = kernel().file_of(request);
    return file ? file->content : "nothing";
  };
  EXPECT_EQ(shown(3), "bb");
  EXPECT_EQ(shown(4), "aa");
  EXPECT_EQ(call(1, SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE, 4, 0}).kind, Kind::perform);
  EXPECT_THAT(infeasible(1, SYS_mmap, {0, 8192, PROT_READ, MAP_PRIVATE, 4, 0}),
              HasSubstr("not mapped in the recording"));
  EXPECT_EQ(
      call(1, SYS_mmap, {0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, ~uint64_t{0}, 0}).kind,
      Kind::perform);
}

TEST_F(RecordedTest, OtherBuffersAreOther) {
  // recvmsg writes through pointers in memory.
  recorded.call(1, SYS_recvmsg, {0, 0x5000, 0}, 4, {bytes_at(0x6000, "text")});
  EXPECT_THAT(infeasible(1, SYS_recvmsg, {0, kData, 0}), HasSubstr("other buffers"));
}

class TasksTest : public KernelTest {};

TEST_F(TasksTest, NumbersAreTheRecordedOnes) {
  recorded.call(1, SYS_set_tid_address, {kData}, kPid);
  event::Syscall clone{SYS_clone, {0x10100}, 517, {}, {}, 2, false};
  recorded.add(1, clone);
  EXPECT_EQ(result(1, SYS_set_tid_address, {kData}), kPid);
  EXPECT_EQ(result(1, SYS_getpid), kPid);
  EXPECT_EQ(thread(), 2u);
  EXPECT_EQ(result(2, SYS_gettid), 517);
  EXPECT_EQ(result(2, SYS_getpid), kPid);
  EXPECT_EQ(thread(2), 3u);
  EXPECT_NE(result(3, SYS_gettid), 517);
}

TEST_F(TasksTest, ANewTaskIsToldItsNumber) {
  constexpr uint64_t kFlags = 0x10100 | 0x100000 | 0x1000000;  // PARENT_SETTID, CHILD_SETTID
  const SyscallAnswer answer = call(1, SYS_clone, {kFlags, 0x7000, kData, kData + 8, 0});
  EXPECT_EQ(answer.kind, Kind::new_task);
  EXPECT_EQ(answer.child, 2u);
  EXPECT_EQ(word(kData), static_cast<uint32_t>(answer.result));
  EXPECT_EQ(word(kData + 8), static_cast<uint32_t>(answer.result));
  EXPECT_THAT(runnable(), ElementsAre(1, 2));
}

TEST_F(TasksTest, AProcessThatSharesSomeOfThisIsNot) {
  constexpr uint64_t kMemory = 0x100, kVfork = 0x4000, kDescriptors = 0x400;
  EXPECT_THAT(infeasible(1, SYS_clone, {kMemory | 17}), HasSubstr("a new process"));
  EXPECT_THAT(infeasible(1, SYS_clone, {kMemory | kVfork | kDescriptors | 17}),
              HasSubstr("a new process"));
  EXPECT_EQ(result(1, SYS_clone3, {kUnmapped, 88}), -EFAULT);
}

TEST_F(TasksTest, TheLastOneEndsTheProcess) {
  const TaskId other = thread();
  EXPECT_EQ(call(1, SYS_exit, {3}).kind, Kind::task_exit);
  EXPECT_THAT(runnable(), ElementsAre(other));
  const SyscallAnswer last = call(other, SYS_exit, {4});
  EXPECT_EQ(last.kind, Kind::process_exit);
  EXPECT_EQ(WEXITSTATUS(last.status), 4);
}

TEST_F(TasksTest, ExitGroupEndsTheProcessAtOnce) {
  thread();
  const SyscallAnswer answer = call(1, SYS_exit_group, {0x1ff});
  EXPECT_EQ(answer.kind, Kind::process_exit);
  EXPECT_EQ(WEXITSTATUS(answer.status), 0xff);
}

TEST_F(TasksTest, YieldingAndGivingWayGoToTheEnd) {
  thread();
  thread();
  EXPECT_EQ(result(1, SYS_sched_yield), 0);
  EXPECT_THAT(runnable(), ElementsAre(2, 3, 1));
  kernel().preempt(2);
  EXPECT_THAT(runnable(), ElementsAre(3, 1, 2));
}

TEST_F(TasksTest, WhatIsRefusedIsRefused) {
  EXPECT_EQ(result(1, SYS_rseq, {kData}), -ENOSYS);
  EXPECT_EQ(result(1, SYS_io_uring_setup, {1}), -ENOSYS);
  EXPECT_EQ(result(1, SYS_arch_prctl, {0x1002, 0x1234}), 0);
  EXPECT_EQ(result(1, SYS_arch_prctl, {0x1001, 0x1234}), -EINVAL);
}

}  // namespace
}  // namespace heddle
