#include "recorder/mapped_files.h"

#include <gtest/gtest.h>

namespace heddle {
namespace {

constexpr FileIdentity kFile{1, 2}, kOther{1, 3};
constexpr uint64_t kAll = ~uint64_t{0};
using Ranges = std::vector<MemoryRange>;

TEST(MappedFiles, ShowPartsOfAFile) {
  MappedFiles files;
  files.add(0x10000, {0x3000, kFile, 0x1000, true});
  files.add(0x20000, {0x1000, kFile, 0x2000, false});
  files.add(0x30000, {0x1000, kOther, 0, true});
  EXPECT_EQ(files.showing(kFile, 0x2800, 0x10), (Ranges{{0x11800, 0x10}, {0x20800, 0x10}}));
  EXPECT_EQ(files.showing(kFile, 0x2800, 0x10, true), (Ranges{{0x20800, 0x10}}));
  EXPECT_EQ(files.showing(kFile, 0, 0x1000), Ranges{});
  EXPECT_EQ(files.showing(kFile, 0x3ff0, 0x100), (Ranges{{0x12ff0, 0x10}}));
  EXPECT_EQ(files.showing(kOther, 0, kAll), (Ranges{{0x30000, 0x1000}}));
}

TEST(MappedFiles, ARemovedMiddleLeavesBothEnds) {
  MappedFiles files;
  files.add(0x10000, {0x5000, kFile, 0, false});
  files.remove(0x11000, 0x2000);
  EXPECT_EQ(files.showing(kFile, 0, kAll), (Ranges{{0x10000, 0x1000}, {0x13000, 0x2000}}));
  EXPECT_EQ(files.showing(kFile, 0x3000, 0x10), (Ranges{{0x13000, 0x10}}));
  files.remove(0, kAll);
  EXPECT_FALSE(files.shows(kFile));
}

TEST(MappedFiles, ANewMappingReplacesWhatWasThere) {
  MappedFiles files;
  files.add(0x10000, {0x2000, kFile, 0, false});
  files.add(0x11000, {0x2000, kOther, 0, true});
  EXPECT_EQ(files.showing(kFile, 0, kAll), (Ranges{{0x10000, 0x1000}}));
  EXPECT_EQ(files.at(0x11000)->file, kOther);
  EXPECT_FALSE(files.at(0x12000));
}

TEST(MappedFiles, MovedAndGrown) {
  MappedFiles files;
  files.add(0x10000, {0x3000, kFile, 0x1000, true});
  files.move(0x11000, 0x1000, 0x40000, 0x2000);
  EXPECT_EQ(files.showing(kFile, 0, kAll),
            (Ranges{{0x10000, 0x1000}, {0x12000, 0x1000}, {0x40000, 0x2000}}));
  EXPECT_EQ(files.at(0x40000)->offset, 0x2000u);
  // A second view of a shared mapping (mremap from a size of 0).
  files.move(0x40000, 0, 0x50000, 0x1000);
  EXPECT_TRUE(files.at(0x40000) && files.at(0x50000));
  // Where nothing of a file was, nothing shows, and what was at the target is gone.
  files.move(0x90000, 0x1000, 0x40000, 0x1000);
  EXPECT_FALSE(files.at(0x40000));
}

TEST(SharedNumbers, AreGivenOnce) {
  SharedNumbers numbers;
  EXPECT_EQ(numbers.of(kFile), 0u);
  EXPECT_EQ(numbers.give(kFile), 1u);
  EXPECT_EQ(numbers.give(kOther), 2u);
  EXPECT_EQ(numbers.give(kFile), 1u);
  EXPECT_EQ(numbers.of(kOther), 2u);
}

}  // namespace
}  // namespace heddle
