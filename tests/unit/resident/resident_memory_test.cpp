// Coming back to a marked state of an address space.
#include "machine/resident/resident_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>

#include "machine/pages.h"
#include "machine/resident/fault_handler.h"

namespace heddle {
namespace {

constexpr uint64_t kAt = 0x2000'0000'0000;  // nobody's
constexpr uint32_t kRw = PROT_READ | PROT_WRITE;

heddle_resident_state the_state;

class ResidentMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      memory_ = std::make_unique<ResidentMemory>();
    } catch (const ResidentUnavailable& why) {
      GTEST_SKIP() << why.what();
    }
    faults_ = std::make_unique<FaultHandler>(&the_state);
    ASSERT_EQ(memory_->map(kAt, 4 * kPage, kRw), static_cast<int64_t>(kAt));
  }
  // As the guest stores: by an instruction.
  static volatile uint32_t& word(uint64_t address) {
    return *reinterpret_cast<volatile uint32_t*>(address);
  }
  uint32_t read(uint64_t address) const { return memory_->load<uint32_t>(address).value_or(~0u); }

  std::unique_ptr<ResidentMemory> memory_;
  std::unique_ptr<FaultHandler> faults_;
};

TEST_F(ResidentMemoryTest, StoresAreTakenBack) {
  word(kAt) = 1;
  memory_->mark();
  word(kAt) = 2;
  word(kAt + kPage) = 3;
  EXPECT_EQ(memory_->saved_pages(), 2u);
  memory_->rewind();
  EXPECT_EQ(word(kAt), 1u);
  EXPECT_EQ(word(kAt + kPage), 0u);
  word(kAt + 2 * kPage) = 4;
  memory_->rewind();
  EXPECT_EQ(read(kAt + 2 * kPage), 0u);
  EXPECT_EQ(memory_->saved_pages(), 3u);
}

TEST_F(ResidentMemoryTest, WritesOfTheSupervisorAreTakenBack) {
  memory_->protect(kAt + kPage, kPage, PROT_READ);
  memory_->mark();
  EXPECT_TRUE(memory_->store<uint32_t>(kAt, 7));
  EXPECT_TRUE(memory_->store<uint32_t>(kAt + kPage, 8));
  EXPECT_EQ(read(kAt + kPage), 8u);
  EXPECT_FALSE(memory_->write_as_guest(kAt + kPage, std::array<uint8_t, 1>{1}));
  memory_->rewind();
  EXPECT_EQ(read(kAt), 0u);
  EXPECT_EQ(read(kAt + kPage), 0u);
}

TEST_F(ResidentMemoryTest, WritesMayStraddleRanges) {
  memory_->map(kAt + 4 * kPage, kPage, PROT_READ);
  const std::array<uint8_t, 4> bytes{1, 2, 3, 4};
  EXPECT_TRUE(memory_->write(kAt + 4 * kPage - 2, bytes));
  EXPECT_EQ(read(kAt + 4 * kPage - 2), 0x04030201u);
  EXPECT_FALSE(memory_->write(kAt + 5 * kPage - 2, bytes));
}

TEST_F(ResidentMemoryTest, MappingsAreTakenBack) {
  word(kAt) = 1;
  word(kAt + kPage) = 2;
  memory_->mark();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(memory_->map(kAt + 16 * kPage, 2 * kPage, kRw),
              static_cast<int64_t>(kAt + 16 * kPage));
    word(kAt + 17 * kPage) = 9;
    EXPECT_EQ(memory_->unmap(kAt, kPage), 0);
    EXPECT_EQ(memory_->map(kAt + kPage, kPage, kRw), static_cast<int64_t>(kAt + kPage));
    EXPECT_EQ(word(kAt + kPage), 0u);
    word(kAt + kPage) = 5;
    EXPECT_FALSE(memory_->load<uint32_t>(kAt));
    memory_->rewind();
    EXPECT_EQ(word(kAt), 1u);
    EXPECT_EQ(word(kAt + kPage), 2u);
    EXPECT_FALSE(memory_->load<uint32_t>(kAt + 16 * kPage));
    word(kAt) = 6;
  }
}

TEST_F(ResidentMemoryTest, ProtectionsAreTakenBack) {
  word(kAt) = 1;
  memory_->mark();
  for (int round = 0; round < 3; ++round) {
    word(kAt) = 2;
    memory_->protect(kAt, 2 * kPage, PROT_NONE);
    EXPECT_EQ(read(kAt), 2u);  // the supervisor sees what the guest cannot
    memory_->protect(kAt + kPage, kPage, kRw);
    word(kAt + kPage) = 3;
    memory_->rewind();
    EXPECT_EQ(word(kAt), 1u);
    EXPECT_EQ(word(kAt + kPage), 0u);
  }
}

TEST_F(ResidentMemoryTest, ForgottenPagesComeBack) {
  word(kAt) = 1;
  word(kAt + 3 * kPage) = 4;
  memory_->mark();
  for (int round = 0; round < 3; ++round) {
    word(kAt + kPage) = 2;
    EXPECT_EQ(memory_->forget(kAt, 4 * kPage), 0);
    EXPECT_EQ(word(kAt), 0u);
    EXPECT_EQ(word(kAt + kPage), 0u);
    word(kAt) = 9;
    memory_->rewind();
    EXPECT_EQ(word(kAt), 1u);
    EXPECT_EQ(word(kAt + kPage), 0u);
    EXPECT_EQ(word(kAt + 3 * kPage), 4u);
  }
}

TEST_F(ResidentMemoryTest, MappingsMove) {
  word(kAt) = 1;
  memory_->mark();
  const uint64_t to = kAt + 32 * kPage;
  EXPECT_EQ(memory_->remap(kAt, 4 * kPage, to, 8 * kPage), static_cast<int64_t>(to));
  EXPECT_EQ(word(to), 1u);
  EXPECT_FALSE(memory_->load<uint32_t>(kAt));
  memory_->rewind();
  EXPECT_EQ(word(kAt), 1u);
  EXPECT_FALSE(memory_->load<uint32_t>(to));
}

TEST_F(ResidentMemoryTest, OnlyOneInAProcess) {
  EXPECT_THROW(ResidentMemory(), std::logic_error);
}

}  // namespace
}  // namespace heddle
