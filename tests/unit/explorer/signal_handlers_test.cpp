// Which of a handler's accesses something orders.
#include "explorer/signal_handlers.h"

#include <signal.h>
#include <sys/syscall.h>

#include "fake_memory.h"
#include "machine/syscalls/table.h"
#include "race_detector_fixture.h"

namespace heddle {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr TaskId kTask = 1;
constexpr StrandId kHost = 1;
constexpr uint64_t kSet = 0x10000, kStack = 0x7fff0000;

class SignalHandlersTest : public RaceDetectorTest {
 protected:
  SignalHandlersTest() { memory.map(kSet, 64); }

  Event event(Ticks ticks) const {
    Event event;
    event.place = {kTask, ticks, 0x500, 0};
    return event;
  }
  void call(uint64_t number, const SyscallArguments& arguments, int64_t result, Ticks ticks) {
    event::Syscall call;
    call.number = static_cast<uint32_t>(number);
    call.arguments = arguments;
    call.result = result;
    handlers.completed(
        event(ticks), call, handlers.strand(kTask).value_or(kHost),
        [this](TaskId task) { return handlers.strand(task).value_or(kHost); }, memory, detector);
  }
  void enter(Ticks ticks) {
    event::Signal signal;
    signal.number = SIGUSR1;
    handlers.entered(event(ticks), signal, kHost, kStack, detector);
  }
  void leave(Ticks ticks) { call(SYS_rt_sigreturn, {}, 0, ticks); }
  void mask(int how, Ticks ticks) {
    memory.store(kSet, uint64_t{1} << (SIGUSR1 - 1));
    call(SYS_rt_sigprocmask, {static_cast<uint64_t>(how), kSet, 0, 8}, 0, ticks);
  }
  void write_here(uint64_t pc) {
    touch(handlers.strand(kTask).value_or(kHost), pc, AccessKind::write);
  }

  FakeMemory memory;
  SignalHandlers handlers{[this](uint64_t key) {
    return strands_.try_emplace(key, static_cast<StrandId>(2 + strands_.size())).first->second;
  }};

 private:
  std::map<uint64_t, StrandId> strands_;
};

TEST_F(SignalHandlersTest, NothingOrdersAHandlerWithWhatItInterrupts) {
  write_here(0x10);
  enter(5);
  write_here(0x20);
  leave(6);
  write_here(0x30);
  EXPECT_THAT(races(), SizeIs(2));
}

TEST_F(SignalHandlersTest, InstallingComesBefore) {
  write_here(0x10);
  call(SYS_rt_sigaction, {SIGUSR1, kSet, 0, 8}, 0, 1);
  enter(5);
  write_here(0x20);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(SignalHandlersTest, WhatRaisesASignalComesBeforeItsHandlerAndGoesOnAfterIt) {
  write_here(0x10);
  call(SYS_tgkill, {1, 1, SIGUSR1}, 0, 5);
  enter(5);
  write_here(0x20);
  leave(6);
  write_here(0x30);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(SignalHandlersTest, WhoWaitedForASignalGoesOnAfterItsHandler) {
  call(SYS_rt_sigsuspend, {kSet, 8}, -4, 5);
  enter(5);
  write_here(0x20);
  leave(6);
  write_here(0x30);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(SignalHandlersTest, WhileASignalIsBlockedItsHandlerIsOverOrStillToCome) {
  mask(SIG_BLOCK, 1);
  write_here(0x10);
  mask(SIG_UNBLOCK, 2);
  enter(5);
  write_here(0x20);
  leave(6);
  mask(SIG_BLOCK, 7);
  write_here(0x30);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(SignalHandlersTest, AHandlersOwnStackIsPrivate) {
  EXPECT_FALSE(handlers.private_to(kTask, kStack));
  enter(5);
  EXPECT_TRUE(handlers.private_to(kTask, kStack - 64));
  EXPECT_FALSE(handlers.private_to(kTask, kWord));
  leave(6);
  EXPECT_FALSE(handlers.private_to(kTask, kStack));
}

}  // namespace
}  // namespace heddle
