#include "explorer/shadow_memory.h"

#include <gtest/gtest.h>

namespace heddle {
namespace {

ShadowRecord record(StrandId strand, uint64_t pc, ByteMask bytes,
                    AccessKind kind = AccessKind::write) {
  ShadowRecord r;
  r.strand = strand;
  r.pc = pc;
  r.bytes = bytes;
  r.kind = kind;
  return r;
}

std::vector<uint64_t> pcs(ShadowCell& cell) {
  std::vector<uint64_t> all;
  for (size_t i = 0; i < cell.size(); ++i) all.push_back(cell[i].pc);
  return all;
}

using Pcs = std::vector<uint64_t>;

TEST(ShadowCellTest, KeepsWhatWasAddedInOrder) {
  ShadowCell cell;
  EXPECT_EQ(cell.size(), 0u);
  cell.add(record(1, 10, 0xff));
  cell.add(record(2, 20, 0xff));
  cell.add(record(3, 30, 0x0f));
  EXPECT_EQ(pcs(cell), (Pcs{10, 20, 30}));
}

TEST(ShadowCellTest, ErasesAnyOfThem) {
  for (size_t gone = 0; gone < 3; ++gone) {
    ShadowCell cell;
    Pcs expected;
    for (uint64_t pc = 0; pc < 3; ++pc) {
      cell.add(record(static_cast<StrandId>(pc + 1), pc, 0xff));
      if (pc != gone) expected.push_back(pc);
    }
    cell.erase(gone);
    EXPECT_EQ(pcs(cell), expected);
  }
}

TEST(ShadowCellTest, CanBeEmptiedAndFilledAgain) {
  ShadowCell cell;
  cell.add(record(1, 10, 0xff));
  cell.add(record(2, 20, 0xff));
  cell.erase(0);
  cell.erase(0);
  EXPECT_EQ(cell.size(), 0u);
  cell.add(record(3, 30, 0xff));
  EXPECT_EQ(pcs(cell), Pcs{30});
}

TEST(ShadowCellTest, AStrandsOldestLikeRecordGivesWay) {
  ShadowCell cell;
  cell.add(record(1, 10, 0xff));
  cell.add(record(2, 20, 0xff));
  cell.add(record(1, 11, 0xff));
  cell.add(record(1, 12, 0xff));
  EXPECT_EQ(pcs(cell), (Pcs{20, 11, 12}));
}

TEST(ShadowCellTest, ReadsAndWritesOfAStrandAreKeptApart) {
  ShadowCell cell;
  cell.add(record(1, 10, 0xff, AccessKind::read));
  cell.add(record(1, 11, 0xff, AccessKind::read));
  cell.add(record(1, 12, 0xff, AccessKind::write));
  cell.add(record(1, 13, 0xff, AccessKind::update));
  EXPECT_EQ(pcs(cell), (Pcs{10, 11, 12, 13}));
}

TEST(ShadowCellTest, ARecordOfMoreBytesIsNotReplacedByOneOfFewer) {
  ShadowCell cell;
  cell.add(record(1, 10, 0xff));
  cell.add(record(1, 11, 0x0f));
  cell.add(record(1, 12, 0x0f));
  cell.add(record(1, 13, 0x0f));
  EXPECT_EQ(pcs(cell), (Pcs{10, 12, 13}));
}

TEST(ShadowCellTest, TheOldestGoesWhenItIsFull) {
  ShadowCell cell;
  for (StrandId strand = 1; strand <= ShadowCell::kMostRecords + 2; ++strand)
    cell.add(record(strand, strand, 0xff));
  EXPECT_EQ(cell.size(), ShadowCell::kMostRecords);
  EXPECT_EQ(cell[0].pc, 3u);
}

TEST(ShadowMemoryTest, CellsAreFoundAgain) {
  ShadowMemory memory;
  EXPECT_EQ(memory.find(5), nullptr);
  memory.cell(5).add(record(1, 10, 0xff));
  memory.cell(1 << 20).add(record(1, 20, 0xff));
  ASSERT_NE(memory.find(5), nullptr);
  EXPECT_EQ(memory.find(5)->first.pc, 10u);
  EXPECT_EQ(memory.cell(5).first.pc, 10u);
  EXPECT_EQ(memory.find(1 << 20)->first.pc, 20u);
}

std::vector<uint64_t> visited(ShadowMemory& memory, uint64_t first, uint64_t last) {
  std::vector<uint64_t> granules;
  memory.visit(first, last, [&](uint64_t granule, ShadowCell& cell) {
    if (cell.size() > 0) granules.push_back(granule);
  });
  std::sort(granules.begin(), granules.end());
  return granules;
}

TEST(ShadowMemoryTest, VisitsNoMoreThanTheRange) {
  ShadowMemory memory;
  for (const uint64_t granule : {0, 510, 511, 512, 513, 1023, 1024, 5000})
    memory.cell(granule).add(record(1, granule, 0xff));
  EXPECT_EQ(visited(memory, 511, 512), (Pcs{511, 512}));
  EXPECT_EQ(visited(memory, 513, 513), Pcs{513});
  EXPECT_EQ(visited(memory, 1024, 4999), Pcs{1024});
  EXPECT_EQ(visited(memory, 2000, 3000), Pcs{});
}

TEST(ShadowMemoryTest, VisitsAHugeRangeByWhatIsRemembered) {
  ShadowMemory memory;
  for (const uint64_t granule : {3, 600, 5000}) memory.cell(granule).add(record(1, granule, 0xff));
  EXPECT_EQ(visited(memory, 4, uint64_t{1} << 60), (Pcs{600, 5000}));
  EXPECT_EQ(visited(memory, 0, ~uint64_t{0}), (Pcs{3, 600, 5000}));
}

}  // namespace
}  // namespace heddle
