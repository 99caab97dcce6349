#include "machine/tracee/origins.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace heddle {
namespace {

using translator::Origin;

Origin origin(uint32_t offset, uint64_t pc) {
  Origin out;
  out.offset = offset;
  out.pc = pc;
  return out;
}

TEST(Origins, AreFoundByAnyOffsetFromTheirOwnOn) {
  constexpr uint64_t kPc = 0x7fff'f7fe'4b70;
  std::vector<Origin> origins{origin(4, kPc), origin(7, kPc + 3), origin(300, kPc + 15),
                              origin(301, kPc - 70'000), origin(70'000, kPc + 20)};
  origins[1].spills = translator::kLent;
  origins[2].spills = translator::kLent;
  origins[2].counting = 0x108;
  origins[3] = origins[2];
  origins[3].offset = 301;
  origins[3].pc = kPc - 70'000;
  origins[3].turns = 3;
  const auto packed = pack_origins(origins, kPc);
  EXPECT_FALSE(find_origin(packed, kPc, 3));
  for (size_t i = 0; i < origins.size(); ++i) {
    const uint32_t last = i + 1 < origins.size() ? origins[i + 1].offset - 1 : 100'000;
    for (const uint32_t offset : {origins[i].offset, last}) {
      const auto found = find_origin(packed, kPc, offset);
      ASSERT_TRUE(found) << offset;
      EXPECT_EQ(found->offset, origins[i].offset);
      EXPECT_EQ(found->pc, origins[i].pc);
      EXPECT_TRUE(std::ranges::equal(found->spills, origins[i].spills));
      EXPECT_EQ(found->counting, origins[i].counting);
      EXPECT_EQ(found->turns, origins[i].turns);
    }
  }
}

TEST(Origins, OfPlainInstructionsTakeThreeBytesEach) {
  std::vector<Origin> origins;
  for (uint32_t i = 0; i < 100; ++i) origins.push_back(origin(4 * i, 0x40'1000 + 3 * i));
  EXPECT_EQ(pack_origins(origins, 0x40'1000).size(), 300u);
}

}  // namespace
}  // namespace heddle
