// Where mappings go.
#include "explorer/model/address_space.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "machine/pages.h"

namespace heddle::model {
namespace {

constexpr uint64_t kTop = 0x7fff'f7ff'f000;

class AddressSpaceTest : public testing::Test {
 protected:
  int64_t map(uint64_t size, uint64_t hint = 0, uint64_t flags = 0) {
    return addresses_
        .call({SYS_mmap, {hint, size, 3, MAP_PRIVATE | MAP_ANONYMOUS | flags, ~0ull, 0}, {}})
        .result;
  }
  void unmap(uint64_t start, uint64_t size) {
    addresses_.call({SYS_munmap, {start, size, 0, 0, 0, 0}, {}});
  }
  static event::Exec program() {
    event::Exec exec;
    exec.mappings.push_back({kTop - 8 * kPage, 4 * kPage, 3, MAP_PRIVATE, "", {}});
    return exec;
  }
  AddressSpace addresses_{program()};
};

TEST_F(AddressSpaceTest, GivesTheHighestGapThatFits) {
  EXPECT_EQ(map(2 * kPage), static_cast<int64_t>(kTop - 2 * kPage));
  EXPECT_EQ(map(3 * kPage), static_cast<int64_t>(kTop - 11 * kPage));
  EXPECT_EQ(map(2 * kPage - 5), static_cast<int64_t>(kTop - 4 * kPage));
  EXPECT_EQ(map(kPage), static_cast<int64_t>(kTop - 12 * kPage));
}

TEST_F(AddressSpaceTest, GivesTheAddressOfTheRecordingWhereItIsFree) {
  const SyscallRequest request{
      SYS_mmap, {0, kPage, 3, MAP_PRIVATE | MAP_ANONYMOUS, ~uint64_t{0}, 0}, {}};
  const uint64_t aligned = 0x7fff'f7c0'0000;
  EXPECT_EQ(addresses_.call(request, aligned).result, static_cast<int64_t>(aligned));
  EXPECT_EQ(addresses_.call(request, aligned).result, static_cast<int64_t>(kTop - kPage));
  EXPECT_EQ(addresses_.call(request, kTop - 8 * kPage).result,
            static_cast<int64_t>(kTop - 2 * kPage));
}

TEST_F(AddressSpaceTest, GivesAgainWhatIsUnmapped) {
  const int64_t at = map(3 * kPage);
  unmap(static_cast<uint64_t>(at) + kPage, kPage);
  EXPECT_EQ(map(kPage), at + static_cast<int64_t>(kPage));
}

TEST_F(AddressSpaceTest, HonoursHintsAndFixedPlaces) {
  EXPECT_EQ(map(kPage, 0xc000000000), 0xc000000000);
  EXPECT_NE(map(kPage, 0xc000000000), 0xc000000000);
  EXPECT_EQ(map(kPage, 0xc000000000, MAP_FIXED), 0xc000000000);
  EXPECT_EQ(map(kPage, 0xc000000000, MAP_FIXED_NOREPLACE), -EEXIST);
  EXPECT_EQ(map(0), -EINVAL);
  EXPECT_EQ(map(uint64_t{1} << 60), -ENOMEM);
}

TEST_F(AddressSpaceTest, MappingsGrowInPlaceOrMove) {
  const auto low = static_cast<uint64_t>(map(kPage, 0x10'0000));
  const auto remap = [&](uint64_t flags) {
    return addresses_.call({SYS_mremap, {low, kPage, 3 * kPage, flags, 0, 0}, {}}).result;
  };
  EXPECT_EQ(remap(0), static_cast<int64_t>(low));
  map(kPage, low + 3 * kPage);
  const auto grow = [&](uint64_t flags) {
    return addresses_.call({SYS_mremap, {low, 3 * kPage, 4 * kPage, flags, 0, 0}, {}}).result;
  };
  EXPECT_EQ(grow(0), -ENOMEM);
  EXPECT_EQ(grow(MREMAP_MAYMOVE), static_cast<int64_t>(kTop - 4 * kPage));
}

}  // namespace
}  // namespace heddle::model
