// The cycle of a deadlock.
#include "explorer/model/deadlock.h"

#include <gtest/gtest.h>

#include "tests/unit/explorer/fake_memory.h"

namespace heddle::model {
namespace {

const std::map<TaskId, int64_t> kTids{{1, 101}, {2, 102}, {3, 103}};

class DeadlockTest : public testing::Test {
 protected:
  DeadlockTest() { memory_.map(0x1000, 0x1000); }
  // A mutex of glibc's, and who holds it.
  void mutex(uint64_t address, uint32_t owner) {
    memory_.store<uint32_t>(address, 2);
    memory_.store<uint32_t>(address + 4, 1);
    memory_.store<uint32_t>(address + 8, owner);
  }
  FakeMemory memory_;
};

TEST_F(DeadlockTest, TwoLocksInOppositeOrders) {
  mutex(0x1000, 103);
  mutex(0x1040, 102);
  EXPECT_EQ(deadlock_cycle({{2, 0x1000}, {3, 0x1040}}, kTids, memory_),
            "thread 2 waits for the mutex 0x1000, which thread 3 holds; "
            "thread 3 waits for the mutex 0x1040, which thread 2 holds");
}

TEST_F(DeadlockTest, OneThatWaitsForTheCycleIsNoPartOfIt) {
  mutex(0x1000, 103);
  mutex(0x1040, 102);
  mutex(0x1080, 102);
  const auto cycle = deadlock_cycle({{1, 0x1080}, {2, 0x1000}, {3, 0x1040}}, kTids, memory_);
  EXPECT_EQ(cycle.find("thread 1"), std::string::npos);
  EXPECT_NE(cycle.find("thread 3"), std::string::npos);
}

TEST_F(DeadlockTest, WordsWithPriorityInheritanceNameTheirHolder) {
  memory_.store<uint32_t>(0x1000, 0x80000000u | 103);
  memory_.store<uint32_t>(0x1040, 0x80000000u | 102);
  EXPECT_NE(deadlock_cycle({{2, 0x1000}, {3, 0x1040}}, kTids, memory_), "");
}

TEST_F(DeadlockTest, WithoutHoldersThereIsNone) {
  mutex(0x1000, 0);
  mutex(0x1040, 999);
  EXPECT_EQ(deadlock_cycle({{1, 0x2000}, {2, 0x1000}, {3, 0x1040}}, kTids, memory_), "");
}

}  // namespace
}  // namespace heddle::model
