#include "explorer/goroutines.h"

#include <gmock/gmock.h>

#include "machine/runtime/task_state.h"
#include "tests/unit/explorer/fake_memory.h"

namespace heddle {
namespace {

using testing::IsEmpty;
using Pairs = std::vector<std::pair<uint64_t, uint64_t>>;

// Where the functions of an imagined Go program are.
const std::map<std::string, uint64_t> kFunctions = {
    {"gogo", 0x1000},
    {"runtime.newproc", 0x1100},
    {"runtime.runqput", 0x1200},
    {"runtime.chansend", 0x1300},
    {"runtime.chanrecv", 0x1400},
    {"runtime.closechan", 0x1500},
    {"runtime.selectgo", 0x1600},
    {"sync.(*Pool).Get", 0x1700},
    {"sync.(*Pool).Put", 0x1800},
    {"runtime.gcMarkTermination", 0x1900},
};

std::optional<uint64_t> address_of(const std::string& name) {
  const auto found = kFunctions.find(name);
  return found == kFunctions.end() ? std::nullopt : std::optional(found->second);
}

constexpr uint64_t kG1 = 0xc000000100, kG2 = 0xc000000200, kG3 = 0xc000000300;
constexpr uint64_t kChannel = 0xc000100000, kOtherChannel = 0xc000100060;
constexpr uint64_t kData = 0xc000200000;

class GoroutinesTest : public testing::Test {
 protected:
  GoroutinesTest() : goroutines(Goroutines::AddressOf(address_of)) {}

  void call(TaskId task, const std::string& function, uint64_t argument = 0) {
    LogEntry entry;
    entry.kind = HEDDLE_ENTRY_CALL;
    entry.pc = kFunctions.at(function);
    entry.address = argument;
    goroutines.called(task, entry, detector);
  }
  void switch_to(TaskId task, uint64_t g) { call(task, "gogo", g); }
  // A go statement of what runs on `task`.
  void go(TaskId task, uint64_t g) {
    call(task, "runtime.newproc");
    call(task, "runtime.runqput", g);
  }
  // The program's own code on `task` touches `address`.
  void touch(TaskId task, uint64_t pc, AccessKind kind, uint64_t address = kData) {
    Access access;
    access.strand = goroutines.strand(task);
    goroutines.back_in_program(access.strand, detector);
    access.place = {task, ++ticks_, pc, 0};
    access.address = address;
    access.size = 8;
    access.kind = kind;
    detector.access(access);
  }
  void write(TaskId task, uint64_t pc, uint64_t address = kData) {
    touch(task, pc, AccessKind::write, address);
  }
  Pairs races() const {
    Pairs pcs;
    for (const auto& pair : detector.races())
      pcs.emplace_back(pair.first.place.pc, pair.second.place.pc);
    return pcs;
  }

  RaceDetector detector;
  Goroutines goroutines;

 private:
  Ticks ticks_ = 0;
};

TEST_F(GoroutinesTest, AProgramWithoutTheRuntimeHasNone) {
  Goroutines none(Goroutines::AddressOf([](const std::string&) { return std::nullopt; }));
  EXPECT_FALSE(none.present());
  EXPECT_THAT(none.calls(), IsEmpty());
  EXPECT_NE(none.strand(1), none.strand(2));
  EXPECT_EQ(none.strand(1), none.strand(1));
}

TEST_F(GoroutinesTest, WatchesTheRegistersOfTheCallingConvention) {
  EXPECT_TRUE(goroutines.present());
  EXPECT_EQ(goroutines.calls().at(0x1000), Register::rdx);
  EXPECT_EQ(goroutines.calls().at(0x1200), Register::rbx);
  EXPECT_EQ(goroutines.calls().at(0x1300), Register::rax);
}

TEST_F(GoroutinesTest, AStrandFollowsItsGoroutineFromTaskToTask) {
  switch_to(1, kG1);
  const StrandId one = goroutines.strand(1);
  switch_to(1, kG2);
  EXPECT_NE(goroutines.strand(1), one);
  switch_to(2, kG1);
  EXPECT_EQ(goroutines.strand(2), one);
}

TEST_F(GoroutinesTest, TwoGoroutinesOnOneTaskRace) {
  switch_to(1, kG1);
  write(1, 10);
  switch_to(1, kG2);
  write(1, 20);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(GoroutinesTest, OneGoroutineOnTwoTasksDoesNot) {
  switch_to(1, kG1);
  write(1, 10);
  switch_to(2, kG1);
  write(2, 20);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(GoroutinesTest, AGoStatementOrdersWhatCameBefore) {
  switch_to(1, kG1);
  write(1, 10);
  go(1, kG2);
  write(1, 11, kData + 8);
  switch_to(2, kG2);
  write(2, 20);
  write(2, 21, kData + 8);
  EXPECT_EQ(races(), (Pairs{{11, 21}}));
}

TEST_F(GoroutinesTest, QueueingAGoroutineThatWaitedIsNoGoStatement) {
  switch_to(1, kG1);
  write(1, 10);
  call(1, "runtime.runqput", kG2);
  switch_to(2, kG2);
  write(2, 20);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(GoroutinesTest, AGoStatementStartsOneGoroutine) {
  switch_to(1, kG1);
  write(1, 10);
  go(1, kG2);
  call(1, "runtime.runqput", kG3);  // somebody who became ready meanwhile
  switch_to(2, kG3);
  write(2, 20);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(GoroutinesTest, AReceiveIsAfterTheSend) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  write(1, 10);
  call(1, "runtime.chansend", kChannel);
  call(2, "runtime.chanrecv", kChannel);
  write(2, 20);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(GoroutinesTest, AReceiverThatWaitedIsAfterTheSend) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  call(2, "runtime.chanrecv", kChannel);
  write(1, 10);
  call(1, "runtime.chansend", kChannel);
  write(2, 20);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(GoroutinesTest, WhatTheSenderDoesAfterTheSendIsNotOrdered) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  call(1, "runtime.chansend", kChannel);
  write(1, 10);
  call(2, "runtime.chanrecv", kChannel);
  write(2, 20);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(GoroutinesTest, ASenderIsAfterTheReceiveThatItWaitedFor) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  call(1, "runtime.chansend", kChannel);
  write(2, 20);
  call(2, "runtime.chanrecv", kChannel);
  write(1, 10);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(GoroutinesTest, OtherChannelsDoNotOrder) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  write(1, 10);
  call(1, "runtime.chansend", kChannel);
  call(2, "runtime.chanrecv", kOtherChannel);
  write(2, 20);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(GoroutinesTest, TwoSendersAreNotOrdered) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  write(1, 10);
  call(1, "runtime.chansend", kChannel);
  call(2, "runtime.chansend", kChannel);
  write(2, 20);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(GoroutinesTest, AReceiveIsAfterTheClose) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  write(1, 10);
  call(1, "runtime.closechan", kChannel);
  write(1, 11, kData + 8);
  call(2, "runtime.chanrecv", kChannel);
  write(2, 20);
  write(2, 21, kData + 8);
  EXPECT_EQ(races(), (Pairs{{11, 21}}));
}

TEST_F(GoroutinesTest, ASelectIsOrderedWithAllChannels) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  write(1, 10);
  call(1, "runtime.chansend", kChannel);
  call(2, "runtime.selectgo", 0xc000300000);
  write(2, 20);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(GoroutinesTest, AReceiveIsAfterASendBySelectAndAfterACloseSeenBySelect) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  switch_to(3, kG3);
  write(1, 10);
  call(1, "runtime.selectgo", 0xc000300000);
  call(2, "runtime.chanrecv", kChannel);
  write(2, 20);
  call(2, "runtime.closechan", kOtherChannel);
  call(3, "runtime.selectgo", 0xc000300000);
  write(3, 30);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(GoroutinesTest, TwoSelectsAreOrdered) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  write(1, 10);
  call(1, "runtime.selectgo", 0xc000300000);
  call(2, "runtime.selectgo", 0xc000300100);
  write(2, 20);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(GoroutinesTest, APoolOrdersWhoPutAndWhoGets) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  write(1, 10);
  call(1, "sync.(*Pool).Put", 0x5a0000);
  call(2, "sync.(*Pool).Get", 0x5a0000);
  write(2, 20);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(GoroutinesTest, ACollectionMakesTheHeapNew) {
  switch_to(1, kG1);
  switch_to(2, kG2);
  write(1, 10);
  write(1, 11, 0x5a0000);
  call(1, "runtime.gcMarkTermination");
  write(2, 20);
  write(2, 21, 0x5a0000);
  EXPECT_EQ(races(), (Pairs{{11, 21}}));
}

TEST_F(GoroutinesTest, StacksAndThreadLocalMemoryArePrivate) {
  FakeMemory memory;
  memory.map(kG1, 0x100);
  memory.map(kG2, 0x100);
  constexpr uint64_t kM = 0xc000001000, kG0 = 0xc000002000;
  memory.map(kM, 0x100);
  memory.map(kG0, 0x100);
  memory.store(kG1, uint64_t{0xc000400000});
  memory.store(kG1 + 8, uint64_t{0xc000402000});
  memory.store(kG1 + 0x30, kM);
  memory.store(kM, kG0);
  memory.store(kG0, uint64_t{0x7fff0000});
  memory.store(kG0 + 8, uint64_t{0x7fff8000});

  switch_to(1, kG1);
  goroutines.begin_segment(1, {}, 0x7ffff0001000, memory);
  EXPECT_TRUE(goroutines.private_to(1, 0xc000400000));
  EXPECT_TRUE(goroutines.private_to(1, 0xc000401fff));
  EXPECT_FALSE(goroutines.private_to(1, 0xc000402000));
  EXPECT_TRUE(goroutines.private_to(1, 0x7fff7fff));
  EXPECT_TRUE(goroutines.private_to(1, 0x7ffff0000ff8));
  EXPECT_FALSE(goroutines.private_to(1, kData));
  // Another task's system stack is not.
  EXPECT_FALSE(goroutines.private_to(2, 0x7fff0000));
  // A goroutine's stack may be another one's by now.
  switch_to(1, kG2);
  EXPECT_TRUE(goroutines.private_to(1, 0xc000400000));
  call(1, "runtime.gcMarkTermination");
  EXPECT_FALSE(goroutines.private_to(1, 0xc000400000));
}

TEST_F(GoroutinesTest, AGoroutineOfTheSegmentIsKnownBeforeItsAccesses) {
  FakeMemory memory;
  memory.map(kG2, 0x100);
  memory.store(kG2, uint64_t{0xc000500000});
  memory.store(kG2 + 8, uint64_t{0xc000502000});
  LogEntry entry;
  entry.kind = HEDDLE_ENTRY_CALL;
  entry.pc = kFunctions.at("gogo");
  entry.address = kG2;
  goroutines.begin_segment(1, {entry}, 0x7ffff0001000, memory);
  switch_to(1, kG2);
  EXPECT_TRUE(goroutines.private_to(1, 0xc000500000));
}

TEST(GoroutinesNames, CodeOfTheRuntimeIsToldByItsName) {
  for (const char* name :
       {"runtime.mallocgc", "runtime/debug.SetGCPercent", "gogo", "sync.(*Pool).Get", "time.now",
        "x_cgo_callers", "crosscall2", "_rt0_amd64_linux"})
    EXPECT_TRUE(Goroutines::runtime(name)) << name;
  for (const char* name :
       {"main.main", "main.add", "sync.(*Mutex).Lock", "sync/atomic.AddInt64",
        "runtime/internal/atomic.Xadd", "_cgo_0123456789ab_Cfunc_add", "add", "fmt.Println", ""})
    EXPECT_FALSE(Goroutines::runtime(name)) << name;
}

}  // namespace
}  // namespace heddle
