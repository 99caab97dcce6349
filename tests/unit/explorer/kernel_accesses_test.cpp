// Which locations a system call touches.
#include "explorer/kernel_accesses.h"

#include <gmock/gmock.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fake_memory.h"
#include "machine/syscalls/table.h"

namespace heddle {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr uint64_t kBuffer = 0x10000;

class KernelAccesses : public testing::Test {
 protected:
  KernelAccesses() { memory.map(kBuffer, 4096); }

  static event::Syscall call(uint64_t number, const SyscallArguments& arguments, int64_t result) {
    event::Syscall call;
    call.number = static_cast<uint32_t>(number);
    call.arguments = arguments;
    call.result = result;
    return call;
  }
  static KernelAccess uses(int descriptor) {
    return {descriptor_location(descriptor), kDescriptorBytes, AccessKind::read};
  }
  static KernelAccess changes(int descriptor) {
    return {descriptor_location(descriptor), kDescriptorBytes, AccessKind::write};
  }
  FakeMemory memory;
};

TEST_F(KernelAccesses, ReadWritesTheBufferAndUsesTheDescriptor) {
  auto read = call(SYS_read, {5, kBuffer, 100}, 3);
  read.effects = {{kBuffer, {1, 2, 3}}};
  EXPECT_THAT(kernel_accesses(read, memory),
              UnorderedElementsAre(uses(5), KernelAccess{kBuffer, 3, AccessKind::write}));
}

TEST_F(KernelAccesses, ASignalUsesTheNumberThatAWaitFrees) {
  const auto sent = kernel_accesses(call(SYS_kill, {700, 15}, 0), memory);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(process_at(sent[0].address), 700);
  EXPECT_EQ(sent[0].kind, AccessKind::read);
  const KernelAccess freed{sent[0].address, sent[0].size, AccessKind::write};
  EXPECT_THAT(kernel_accesses(call(SYS_wait4, {~uint64_t{0}, 0, 0, 0}, 700), memory),
              ElementsAre(freed));
  EXPECT_THAT(coming_accesses({SYS_wait4, {700, 0, 0, 0}, {}}, memory), Contains(freed));
  auto looked = call(SYS_waitid, {1, 700, kBuffer, 4 | 0x1000000 /* WNOWAIT */, 0}, 0);
  looked.effects = {{kBuffer + 16, {0xbc, 2, 0, 0}}};
  EXPECT_THAT(kernel_accesses(looked, memory), testing::Not(Contains(freed)));
  looked.arguments[3] = 4;
  EXPECT_THAT(kernel_accesses(looked, memory), Contains(freed));
  EXPECT_EQ(location_name(sent[0].address), "number of process 700");
}

TEST_F(KernelAccesses, WriteReadsAsMuchAsItTook) {
  EXPECT_THAT(kernel_accesses(call(SYS_write, {1, kBuffer, 100}, 40), memory),
              UnorderedElementsAre(uses(1), KernelAccess{kBuffer, 40, AccessKind::read}));
}

TEST_F(KernelAccesses, VectorsAndWhatTheyNameAreRead) {
  memory.store(kBuffer, iovec{reinterpret_cast<void*>(kBuffer + 64), 8});
  memory.store(kBuffer + 16, iovec{reinterpret_cast<void*>(kBuffer + 128), 8});
  EXPECT_THAT(kernel_accesses(call(SYS_writev, {1, kBuffer, 2}, 10), memory),
              UnorderedElementsAre(uses(1), KernelAccess{kBuffer, 32, AccessKind::read},
                                   KernelAccess{kBuffer + 64, 8, AccessKind::read},
                                   KernelAccess{kBuffer + 128, 2, AccessKind::read}));
}

TEST_F(KernelAccesses, TheTableChangesWhereNumbersAreGivenOrTakenBack) {
  EXPECT_THAT(kernel_accesses(call(SYS_close, {7}, 0), memory), ElementsAre(changes(7)));
  EXPECT_THAT(kernel_accesses(call(SYS_close, {7}, -9), memory), ElementsAre(uses(7)));
  EXPECT_THAT(kernel_accesses(call(SYS_eventfd2, {0, 0}, 4), memory), ElementsAre(changes(4)));
  EXPECT_THAT(kernel_accesses(call(SYS_dup2, {4, 9}, 9), memory),
              UnorderedElementsAre(uses(4), changes(9)));
  auto pipe = call(SYS_pipe2, {kBuffer, 0}, 0);
  pipe.effects = {{kBuffer, {3, 0, 0, 0, 8, 0, 0, 0}}};
  EXPECT_THAT(kernel_accesses(pipe, memory), Contains(changes(3)));
  EXPECT_THAT(kernel_accesses(pipe, memory), Contains(changes(8)));
}

TEST_F(KernelAccesses, WhatOrdersTasksIsNoAccess) {
  auto wait = call(SYS_futex, {kBuffer, 0, 0}, 0);
  EXPECT_THAT(kernel_accesses(wait, memory), IsEmpty());
}

TEST_F(KernelAccesses, ACallToComeMayTouchAllOfItsBuffer) {
  EXPECT_THAT(coming_accesses({SYS_read, {5, kBuffer, 100}, {}}, memory),
              UnorderedElementsAre(uses(5), KernelAccess{kBuffer, 100, AccessKind::write}));
}

TEST_F(KernelAccesses, LocationsHaveNames) {
  EXPECT_EQ(location_name(descriptor_location(12)), "descriptor 12");
  EXPECT_EQ(descriptor_at(descriptor_location(12)), 12);
  EXPECT_EQ(location_name(kBuffer), "");
}

}  // namespace
}  // namespace heddle
