#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/explorer/model/kernel_fixture.h"

namespace heddle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = SyscallAnswer::Kind;

constexpr int64_t kChildPid = 600;
constexpr TaskId kChild = 2;

// A process (task 1) that makes a pipe of descriptors 3 and 4, and a child that executes /bin/cat.
class ChildrenTest : public KernelTest {
 protected:
  static constexpr uint64_t kPath = kData, kArguments = kData + 0x100, kStatus = kData + 0x200;

  ChildrenTest() {
    event::Exec exec;
    exec.pid = kPid;
    recorded = RecordingMaker(exec);
    recorded.call(1, SYS_set_tid_address, {kData + 0x800}, kPid);
    std::array<int, 2> ends{3, 4};
    recorded.call(1, SYS_pipe2, {kBuffer, O_CLOEXEC}, 0,
                  {bytes_at(kBuffer, {reinterpret_cast<const char*>(ends.data()), sizeof ends})});
    store_text(kPath, std::string_view("/bin/cat\0", 9));
    memory.store(kArguments, kPath);
    memory.store(kArguments + 8, uint64_t{0});
  }

  // The recorded child up to its execve, with the pipe's descriptor `end` as descriptor `as`.
  void record_child(int end, int as) {
    event::Syscall clone;
    clone.number = SYS_vfork;
    clone.result = kChildPid;
    clone.child = kChild;
    clone.makes_process = true;
    recorded.add(1, clone);
    recorded.call(kChild, SYS_dup2, {static_cast<uint64_t>(end), static_cast<uint64_t>(as)}, as);
    recorded.call(kChild, SYS_execve, {kPath, kArguments, 0}, 0);
    event::Exec image;
    image.path = "/bin/cat";
    image.arguments = {"/bin/cat"};
    image.pid = kChildPid;
    recorded.add(kChild, image);
  }
  void record_end(int32_t status) { recorded.add(kChild, event::ProcessExit{status}); }
  void record_signal(int number) {
    event::Signal signal;
    signal.number = number;
    const std::array<int32_t, 5> head{number, 0, SI_USER, 0, static_cast<int32_t>(kPid)};
    std::memcpy(signal.siginfo.data(), head.data(), sizeof head);
    recorded.add(kChild, signal);
  }

  // The same in the model.
  void start_child(int end, int as) {
    ASSERT_EQ(result(1, SYS_pipe2, {kBuffer, O_CLOEXEC}), 0);
    const SyscallAnswer made = call(1, SYS_vfork);
    ASSERT_EQ(made.kind, Kind::new_task) << made.reason;
    ASSERT_EQ(made.child, kChild);
    ASSERT_EQ(made.result, kChildPid);
    EXPECT_TRUE(made.makes_process);
    EXPECT_THAT(runnable(), ElementsAre(kChild));  // its parent stands still
    ASSERT_EQ(result(kChild, SYS_dup2, {static_cast<uint64_t>(end), static_cast<uint64_t>(as)}),
              as);
  }
  void execute() {
    const SyscallAnswer executed = call(kChild, SYS_execve, {kPath, kArguments, 0});
    ASSERT_EQ(executed.kind, Kind::left) << executed.reason;
  }
  // A child that ends, of a process whose action for SIGCHLD is `handler`.
  void execute_child_with_sigchld(uint64_t handler) {
    record_child(3, 0);
    record_end(0);
    start_child(3, 0);
    execute();
    memory.store(kData + 0x300, std::array<uint64_t, 4>{handler, 0, 0, 0});
    EXPECT_EQ(result(1, SYS_rt_sigaction, {SIGCHLD, kData + 0x300, 0, 8}), 0);
  }
  void act() { EXPECT_EQ(kernel().act(kChild), ""); }
  // All that it does by itself.
  void finish() {
    while (std::ranges::count(runnable(), kChild) > 0) act();
  }
  int64_t wait(uint64_t options = 0) {
    return result(1, SYS_wait4, {kChildPid, kStatus, options, 0});
  }
};

TEST_F(ChildrenTest, ItsDescriptorsAreItsOwn) {
  record_child(3, 0);
  record_end(0);
  start_child(3, 0);
  EXPECT_EQ(result(kChild, SYS_close, {4}), 0);
  execute();
  // The parent still has both ends.
  store_text(kBuffer, "x");
  EXPECT_EQ(result(1, SYS_write, {4, kBuffer, 1}), 1);
  EXPECT_EQ(result(1, SYS_read, {3, kBuffer, 1}), 1);
}

TEST_F(ChildrenTest, ItIsAZombieUntilItIsWaitedFor) {
  record_child(3, 0);
  record_end(7 << 8);
  start_child(3, 0);
  execute();
  EXPECT_EQ(wait(WNOHANG), 0);
  EXPECT_EQ(result(1, SYS_kill, {kChildPid, 0}), 0);
  finish();
  EXPECT_EQ(result(1, SYS_kill, {kChildPid, SIGTERM}), 0);
  EXPECT_EQ(kernel().take_misdirected(), "");
  // Looked at, not taken.
  EXPECT_EQ(result(1, SYS_waitid, {P_PID, kChildPid, kBuffer, WEXITED | WNOWAIT, 0}), 0);
  EXPECT_EQ(word(kBuffer + 8), static_cast<uint32_t>(CLD_EXITED));
  EXPECT_EQ(word(kBuffer + 16), static_cast<uint32_t>(kChildPid));
  EXPECT_EQ(word(kBuffer + 24), 7U);
  EXPECT_EQ(wait(), kChildPid);
  EXPECT_EQ(word(kStatus), 7U << 8);
  EXPECT_EQ(wait(), -ECHILD);
}

TEST_F(ChildrenTest, ASignalToANumberThatIsFreeIsTold) {
  record_child(3, 0);
  record_end(0);
  start_child(3, 0);
  execute();
  finish();
  EXPECT_EQ(wait(), kChildPid);
  EXPECT_EQ(result(1, SYS_kill, {kChildPid, 0}), -ESRCH);
  EXPECT_EQ(kernel().take_misdirected(), "");  // only a question
  EXPECT_EQ(result(1, SYS_kill, {kChildPid, SIGTERM}), -ESRCH);
  EXPECT_THAT(kernel().take_misdirected(), HasSubstr("process 600"));
  EXPECT_EQ(kernel().take_misdirected(), "");
}

TEST_F(ChildrenTest, WhoWaitsIsWokenAndWaitsWhenItRuns) {
  record_child(3, 0);
  record_end(0);
  start_child(3, 0);
  execute();
  blocks(1, SYS_wait4, {kChildPid, kStatus, 0, 0});
  finish();
  EXPECT_THAT(runnable(), ElementsAre(1));
  EXPECT_EQ(result(1, SYS_kill, {kChildPid, SIGTERM}), 0);  // still its number
  EXPECT_EQ(collected(1), -512);                            // ERESTARTSYS
  EXPECT_EQ(wait(), kChildPid);
}

TEST_F(ChildrenTest, ASignalEndsItUnlessItHandlesIt) {
  record_child(3, 0);
  record_signal(SIGTERM);
  record_end(SIGTERM);
  start_child(3, 0);
  execute();
  EXPECT_THAT(runnable(), ElementsAre(1));  // it ends by that only
  EXPECT_EQ(result(1, SYS_kill, {kChildPid, SIGTERM}), 0);
  EXPECT_THAT(runnable(), ElementsAre(1, kChild));
  act();
  EXPECT_EQ(wait(), kChildPid);
  EXPECT_EQ(word(kStatus), static_cast<uint32_t>(SIGTERM));
}

TEST_F(ChildrenTest, AHandledSignalComesWhereItCame) {
  record_child(3, 0);
  recorded.call(kChild, SYS_read, {0, 0x5000, 100}, 0);
  recorded.call(kChild, SYS_rt_sigaction, {SIGTERM, kData, 0, 8}, 0);
  record_signal(SIGTERM);
  record_end(0);
  start_child(3, 0);
  execute();
  EXPECT_EQ(result(1, SYS_close, {4}), 0);
  act();  // reads the end of its input
  act();  // installs the handler
  EXPECT_THAT(runnable(), ElementsAre(1));
  EXPECT_EQ(result(1, SYS_kill, {kChildPid, SIGTERM}), 0);
  finish();
  EXPECT_EQ(wait(), kChildPid);
  EXPECT_EQ(word(kStatus), 0U);
}

TEST_F(ChildrenTest, AHandledSignalAtAnotherTimeIsInfeasible) {
  record_child(3, 0);
  recorded.call(kChild, SYS_rt_sigaction, {SIGTERM, kData, 0, 8}, 0);
  recorded.call(kChild, SYS_read, {0, 0x5000, 100}, 1, {bytes_at(0x5000, "a")});
  recorded.call(kChild, SYS_read, {0, 0x5000, 100}, 0);
  record_end(0);
  start_child(3, 0);
  execute();
  store_text(kBuffer, "a");
  EXPECT_EQ(result(1, SYS_write, {4, kBuffer, 1}), 1);
  act();  // installs its handler and reads
  EXPECT_THAT(infeasible(1, SYS_kill, {kChildPid, SIGTERM}), HasSubstr("another time"));
}

TEST_F(ChildrenTest, WhatItWritesIsWhatWasReadOfIt) {
  record_child(4, 1);
  recorded.call(kChild, SYS_write, {1, 0x5000, 5}, 5);
  recorded.call(1, SYS_read, {3, kBuffer, 100}, 5, {bytes_at(kBuffer, "hello")});
  record_end(0);
  start_child(4, 1);
  execute();
  EXPECT_EQ(result(1, SYS_close, {4}), 0);
  blocks(1, SYS_read, {3, kBuffer, 100});
  act();
  EXPECT_EQ(collected(1), 5);
  EXPECT_EQ(text(kBuffer, 5), "hello");
  act();                                               // closes its end
  EXPECT_EQ(result(1, SYS_read, {3, kBuffer, 1}), 0);  // nobody has it
  finish();
  EXPECT_EQ(wait(), kChildPid);
}

TEST_F(ChildrenTest, ItReadsWhatItReadThenOrTheRunIsInfeasible) {
  record_child(3, 0);
  recorded.call(1, SYS_write, {4, kBuffer, 2}, 2);
  recorded.call(kChild, SYS_read, {0, 0x5000, 100}, 2, {bytes_at(0x5000, "ab")});
  record_end(0);
  start_child(3, 0);
  execute();
  EXPECT_THAT(runnable(), ElementsAre(1));  // nothing is there to read
  store_text(kBuffer, "xy");
  EXPECT_EQ(result(1, SYS_write, {4, kBuffer, 2}), 2);
  EXPECT_THAT(kernel().act(kChild), HasSubstr("something else in a pipe"));
}

TEST_F(ChildrenTest, AnUnknownProgramIsInfeasible) {
  record_child(3, 0);
  record_end(0);
  start_child(3, 0);
  store_text(kPath, "/bin/dog");
  EXPECT_THAT(infeasible(kChild, SYS_execve, {kPath, kArguments, 0}), HasSubstr("/bin/dog"));
}

TEST_F(ChildrenTest, OneThatExecutesNothingEndsWithItsStatus) {
  record_child(3, 0);
  start_child(3, 0);
  const SyscallAnswer ended = call(kChild, SYS_exit_group, {3});
  EXPECT_EQ(ended.kind, Kind::child_exit);
  EXPECT_EQ(ended.status, 3 << 8);
  EXPECT_THAT(runnable(), ElementsAre(1));
  EXPECT_EQ(wait(), kChildPid);
  EXPECT_EQ(word(kStatus), 3U << 8);
}

TEST_F(ChildrenTest, OneWithMemoryOfItsOwnRunsBesideItsParent) {
  const SyscallAnswer made = call(1, SYS_fork);
  ASSERT_EQ(made.kind, Kind::new_task);
  EXPECT_TRUE(kernel().forked(made.child));
  EXPECT_THAT(runnable(), ElementsAre(1, made.child));
  const auto pid = static_cast<uint64_t>(made.result);
  EXPECT_EQ(result(made.child, SYS_getpid), made.result);
  // Its default for the signal is to end.
  EXPECT_EQ(result(1, SYS_kill, {pid, SIGTERM}), 0);
  ASSERT_TRUE(kernel().take_signal(made.child));
  kernel().child_killed(made.child, SIGTERM);
  EXPECT_EQ(result(1, SYS_wait4, {pid, kStatus, 0, 0}), made.result);
  EXPECT_EQ(word(kStatus), static_cast<uint32_t>(SIGTERM));
}

TEST_F(ChildrenTest, ItsEndIsSignalledToTheProcess) {
  execute_child_with_sigchld(0x400000);
  EXPECT_FALSE(kernel().take_signal(1));
  finish();
  const auto signal = kernel().take_signal(1);
  ASSERT_TRUE(signal);
  siginfo_t info;
  std::memcpy(&info, signal->siginfo.data(), sizeof info);
  EXPECT_EQ(info.si_signo, SIGCHLD);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_pid, kChildPid);
}

TEST_F(ChildrenTest, WhoIgnoresSigchldWaitsForNobody) {
  execute_child_with_sigchld(reinterpret_cast<uint64_t>(SIG_IGN));
  finish();
  EXPECT_EQ(wait(), -ECHILD);
}

}  // namespace
}  // namespace heddle
