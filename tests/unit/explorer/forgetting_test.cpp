// What the race detector knows of memory that becomes something else.
#include "tests/unit/explorer/race_detector_fixture.h"

namespace heddle {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using enum AccessKind;
using Pairs = std::vector<std::pair<uint64_t, uint64_t>>;

TEST_F(RaceDetectorTest, FreedMemoryIsNew) {
  touch(1, 10, write);
  detector.forget(kWord, 4);
  touch(2, 20, write);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(RaceDetectorTest, ForgettingKeepsTheRacesFoundBefore) {
  touch(1, 10, write);
  touch(2, 20, write);
  lock(1);
  touch(1, 11, write, kOther);
  unlock(1);
  lock(2);
  touch(2, 21, write, kOther);
  unlock(2);
  detector.forget(kWord, 4);
  detector.forget(kOther, 4);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
  EXPECT_EQ(lock_ordered(), (Pairs{{11, 21}}));
  // The same pair of sites again is the same entry.
  touch(1, 10, write);
  touch(2, 20, write);
  const auto found = detector.races();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].count, 2u);
  EXPECT_EQ(found[0].first.place.ticks, 1u);
}

TEST_F(RaceDetectorTest, ForgettingTouchesNoByteBesides) {
  touch(1, 10, write, kWord, 8);
  detector.forget(kWord + 2, 2);
  touch(2, 20, write, kWord + 2, 2);
  EXPECT_THAT(races(), IsEmpty());
  touch(2, 21, write, kWord, 2);
  touch(2, 22, write, kWord + 4, 4);
  EXPECT_EQ(races(), (Pairs{{10, 21}, {10, 22}}));
}

TEST_F(RaceDetectorTest, ForgettingSpansGranules) {
  for (uint64_t at = kWord; at < kWord + 32; at += 8) touch(1, 10, write, at, 8);
  detector.forget(kWord + 4, 24);
  touch(2, 20, write, kWord + 8, 16);
  EXPECT_THAT(races(), IsEmpty());
  touch(2, 21, write, kWord, 4);
  touch(2, 22, write, kWord + 28, 4);
  EXPECT_EQ(races(), (Pairs{{10, 21}, {10, 22}}));
}

TEST_F(RaceDetectorTest, ALockInFreedMemoryIsForgotten) {
  touch(1, 10, write);
  lock(1);
  unlock(1);
  detector.forget(kLock, 4);
  EXPECT_FALSE(detector.synchronises(kLock));
  lock(2);
  touch(2, 20, write);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, ForgettingTheAccessesKeepsTheLocks) {
  touch(1, 10, write);
  touch(1, 11, write, kOther);
  lock(1);
  unlock(1);
  detector.forget_accesses(kWord, 8);
  touch(2, 20, write);
  EXPECT_THAT(races(), IsEmpty());
  EXPECT_TRUE(detector.synchronises(kLock));
  detector.forget_accesses(kLock, 8);
  lock(2);
  touch(2, 21, write, kOther);
  EXPECT_THAT(races(), IsEmpty());
  EXPECT_EQ(lock_ordered(), (Pairs{{11, 21}}));
}

TEST_F(RaceDetectorTest, NothingIsForgottenOfNoBytes) {
  touch(1, 10, write, 0, 4);
  detector.forget(0, 0);
  detector.forget_accesses(0, 0);
  touch(2, 20, write, 0, 4);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, ForgettingTheAccessesTouchesNoByteBesides) {
  touch(1, 10, write, kWord, 8);
  detector.forget_accesses(kWord, 4);
  touch(2, 20, write, kWord, 4);
  touch(2, 21, write, kWord + 4, 4);
  EXPECT_EQ(races(), (Pairs{{10, 21}}));
}

}  // namespace
}  // namespace heddle
