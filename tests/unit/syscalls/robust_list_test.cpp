// Against the kernel: a thread that ends with robust futexes in its list.
#include "machine/syscalls/robust_list.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <thread>

#include "oracle.h"

namespace heddle {
namespace {

struct Lock {
  robust_list entry;
  uint32_t word;
};

struct Locks {
  robust_list_head head;
  Lock held, waited_for, free, pending;
};

TEST(RobustList, WritesWhatTheKernelDoes) {
  Locks locks{};
  std::vector<MemoryEffect> predicted;
  std::thread owner([&] {
    const auto tid = static_cast<uint32_t>(syscall(SYS_gettid));
    locks.head.futex_offset = offsetof(Lock, word);
    locks.head.list.next = &locks.held.entry;
    locks.held.entry.next = &locks.waited_for.entry;
    locks.waited_for.entry.next = &locks.free.entry;
    locks.free.entry.next = &locks.head.list;
    locks.head.list_op_pending = &locks.pending.entry;
    locks.held.word = tid;
    locks.waited_for.word = tid | FUTEX_WAITERS;
    locks.free.word = 1;  // another's
    locks.pending.word = tid;
    syscall(SYS_set_robust_list, &locks.head, sizeof locks.head);
    predicted = robust_list_effects(pointer(&locks.head), tid, OwnMemory());
  });
  owner.join();
  EXPECT_EQ(locks.held.word, FUTEX_OWNER_DIED);
  EXPECT_EQ(locks.free.word, 1u);
  ASSERT_EQ(predicted.size(), 3u);
  OwnMemory memory;
  for (const auto& effect : predicted) {
    std::vector<uint8_t> now(effect.bytes.size());
    memory.read(effect.address, now);
    EXPECT_EQ(now, effect.bytes);
  }
}

TEST(RobustList, ThatIsBrokenEndsWhereItIs) {
  OwnMemory memory;
  EXPECT_TRUE(robust_list_effects(0, 1, memory).empty());
  EXPECT_TRUE(robust_list_effects(8, 1, memory).empty());
  Locks locks{};
  locks.head.list.next = &locks.held.entry;
  locks.held.entry.next = &locks.held.entry;  // for ever
  locks.head.futex_offset = offsetof(Lock, word);
  EXPECT_TRUE(robust_list_effects(pointer(&locks.head), 1, memory).empty());
}

}  // namespace
}  // namespace heddle
