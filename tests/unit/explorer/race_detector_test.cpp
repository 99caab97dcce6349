#include "tests/unit/explorer/race_detector_fixture.h"

namespace heddle {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using enum AccessKind;

using Pairs = std::vector<std::pair<uint64_t, uint64_t>>;

TEST_F(RaceDetectorTest, TwoWritesRace) {
  touch(1, 10, write);
  touch(2, 20, write);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, AReadAndAWriteRaceInEitherOrder) {
  touch(1, 10, read);
  touch(2, 20, write);
  touch(1, 11, write, kOther);
  touch(2, 21, read, kOther);
  EXPECT_EQ(races(), (Pairs{{10, 20}, {11, 21}}));
}

TEST_F(RaceDetectorTest, TwoReadsDoNot) {
  touch(1, 10, read);
  touch(2, 20, read);
  EXPECT_THAT(races(), IsEmpty());
  EXPECT_THAT(lock_ordered(), IsEmpty());
}

TEST_F(RaceDetectorTest, AStrandDoesNotRaceWithItself) {
  touch(1, 10, write);
  touch(1, 11, read);
  touch(1, 12, update);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(RaceDetectorTest, AnUpdateRacesWithItself) {
  touch(1, 10, update);
  touch(2, 10, update);
  touch(1, 10, update);
  const auto found = detector.races();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].first.strand, 1u);
  EXPECT_EQ(found[0].second.strand, 2u);
  EXPECT_EQ(found[0].first.kind, update);
}

TEST_F(RaceDetectorTest, APairOfSitesIsListedOnceWithItsFirstAppearance) {
  for (int i = 0; i < 3; ++i) {
    const uint64_t at = kWord + 8 * static_cast<uint64_t>(i);
    touch(1, 10, write, at);
    touch(2, 20, read, at);
    // The other way round: the same pair.
    touch(2, 20, read, at + 64);
    touch(1, 10, write, at + 64);
  }
  const auto found = detector.races();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].first.address, kWord);
  EXPECT_EQ(found[0].first.place.ticks, 1u);
  EXPECT_EQ(found[0].second.place.ticks, 2u);
  EXPECT_EQ(found[0].count, 6u);
}

TEST_F(RaceDetectorTest, KindsOfASiteAreToldApart) {
  touch(1, 10, write);
  touch(2, 20, read);
  touch(2, 20, write);
  EXPECT_THAT(races(), SizeIs(2));
}

TEST_F(RaceDetectorTest, ForkAndJoinOrder) {
  touch(1, 10, write);
  detector.fork(1, 2);
  touch(2, 20, write);
  detector.join(1, 2);
  touch(1, 11, write);
  EXPECT_THAT(races(), IsEmpty());
  // Nothing could turn them round.
  EXPECT_THAT(lock_ordered(), IsEmpty());
}

TEST_F(RaceDetectorTest, WhatTheParentDoesAfterTheForkRacesWithTheChild) {
  detector.fork(1, 2);
  touch(1, 10, write);
  touch(2, 20, write);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, ALockOrdersAndIsNoRaceItself) {
  for (const TaskId task : {1, 2, 1}) {
    lock(task);
    touch(task, 10, update);
    unlock(task);
  }
  EXPECT_THAT(races(), IsEmpty());
  EXPECT_EQ(lock_ordered(), (Pairs{{10, 10}}));
  EXPECT_TRUE(detector.synchronises(kLock));
  EXPECT_TRUE(detector.synchronises(kLock + 3));
  EXPECT_FALSE(detector.synchronises(kLock + 4));
  EXPECT_FALSE(detector.synchronises(kWord));
}

TEST_F(RaceDetectorTest, DifferentLocksDoNotOrder) {
  lock(1, kLock);
  touch(1, 10, write);
  unlock(1, kLock);
  lock(2, kOther);
  touch(2, 20, write);
  unlock(2, kOther);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, ANeighbouringLockWordIsAnotherLock) {
  lock(1, kLock);
  touch(1, 10, write);
  unlock(1, kLock);
  lock(2, kLock + 4);
  touch(2, 20, write);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, AFlagThatALockedInstructionTouchesPublishes) {
  touch(2, 21, locked, kLock);  // so far nothing was published
  touch(1, 10, write);
  touch(1, 11, write, kLock);  // a release store
  touch(2, 20, read, kLock);   // an acquire load
  touch(2, 22, read);
  EXPECT_THAT(races(), IsEmpty());
  EXPECT_EQ(lock_ordered(), (Pairs{{10, 22}}));
}

TEST_F(RaceDetectorTest, AFlagThatNoLockedInstructionTouchesRaces) {
  touch(1, 10, write);
  touch(1, 11, write, kLock);
  touch(2, 20, read, kLock);
  touch(2, 22, read);
  EXPECT_EQ(races(), (Pairs{{11, 20}, {10, 22}}));
}

TEST_F(RaceDetectorTest, RacesOnWhatTurnsOutToSynchroniseAreDropped) {
  touch(1, 10, write, kLock);
  touch(2, 20, read, kLock);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
  lock(1);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(RaceDetectorTest, ButNotThoseOfTheBytesBesides) {
  touch(1, 10, write, kLock + 4);
  touch(2, 20, read, kLock + 4);
  lock(1);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, AnAccessAcrossALockAndDataRacesOnTheDataOnly) {
  lock(1);
  touch(1, 10, write, kLock, 8);
  touch(2, 20, write, kLock, 8);
  const auto found = detector.races();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].first.address, kLock + 4);
  EXPECT_EQ(found[0].first.size, 4u);
}

TEST_F(RaceDetectorTest, OrderedOnlyAccessesSynchroniseButDoNotRace) {
  touch_in_library(1, 10, write);
  touch_in_library(2, 20, write);
  touch(2, 21, write);
  EXPECT_THAT(races(), IsEmpty());

  touch(1, 12, write, kOther);
  touch_in_library(1, 0x90, locked, kLock);
  touch_in_library(3, 0x90, locked, kLock);
  touch(3, 30, write, kOther);
  EXPECT_THAT(races(), IsEmpty());
  EXPECT_EQ(lock_ordered(), (Pairs{{12, 30}}));
}

TEST_F(RaceDetectorTest, ABufferHandedOverByALockIsOnePairForEachSiteThatFilledIt) {
  touch(1, 10, write, kWord, 512);
  touch(1, 11, write, kWord + 512, 512);
  lock(1);
  unlock(1);
  lock(2);
  touch(2, 20, read, kWord, 1024);
  EXPECT_THAT(races(), IsEmpty());
  EXPECT_EQ(lock_ordered(), (Pairs{{10, 20}, {11, 20}}));
  for (const RaceCandidate& pair : detector.lock_ordered()) EXPECT_EQ(pair.count, 1);
}

TEST_F(RaceDetectorTest, FutexesOrder) {
  touch(1, 10, write);
  detector.futex_wake(1, kLock);
  detector.futex_wait_returned(2, kLock);
  touch(2, 20, write);
  EXPECT_THAT(races(), IsEmpty());
  EXPECT_EQ(lock_ordered(), (Pairs{{10, 20}}));
  EXPECT_TRUE(detector.synchronises(kLock));
}

TEST_F(RaceDetectorTest, ObjectsOfTheCallerOrderAndAreNoAddresses) {
  touch(1, 10, write);
  detector.release(1, kLock / 4);  // the number that the word at kLock has
  touch(2, 20, locked, kLock);
  touch(2, 21, write);
  EXPECT_EQ(races(), (Pairs{{10, 21}}));
  detector.acquire(3, kLock / 4);
  touch(3, 30, write);
  EXPECT_EQ(races(), (Pairs{{10, 21}, {21, 30}}));
}

TEST_F(RaceDetectorTest, SignalsOrderSenderAndHandlerOnly) {
  touch(1, 10, write);
  detector.signal_send(1, 12);
  touch(2, 20, write, kOther);
  detector.signal_deliver(3, 12);  // on strand 2's thread
  touch(3, 30, write);
  touch(3, 31, write, kOther);
  EXPECT_EQ(races(), (Pairs{{20, 31}}));
}

TEST_F(RaceDetectorTest, ASignalsNumberIsNoObjectsNumber) {
  touch(1, 10, write);
  detector.release(1, 12);
  detector.signal_deliver(2, 12);
  touch(2, 20, write);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, OverlapsOfDifferentSizesRace) {
  touch(1, 10, write, kWord, 8);
  touch(2, 20, read, kWord + 7, 1);
  const auto found = detector.races();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].first.address, kWord);
  EXPECT_EQ(found[0].first.size, 8u);
  EXPECT_EQ(found[0].second.address, kWord + 7);
  EXPECT_EQ(found[0].second.size, 1u);
}

TEST_F(RaceDetectorTest, NeighboursDoNot) {
  touch(1, 10, write, kWord, 4);
  touch(2, 20, write, kWord + 4, 4);
  touch(3, 30, write, kWord + 8, 4);
  EXPECT_THAT(races(), IsEmpty());
}

TEST_F(RaceDetectorTest, AnAccessAcrossGranulesMeetsBoth) {
  touch(1, 10, write, kWord + 6, 4);
  touch(2, 20, read, kWord + 9, 1);
  const auto found = detector.races();
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].first.address, kWord + 8);
  EXPECT_EQ(found[0].first.size, 2u);
}

TEST_F(RaceDetectorTest, ALongOperationIsOneAccessOfManyGranules) {
  touch(1, 10, write, kWord, 1000);
  touch(2, 20, read, kWord + 999, 1);
  touch(2, 21, read, kWord + 1000, 1);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
}

TEST_F(RaceDetectorTest, AReadBehindTwoWritesRacesWithBothSites) {
  touch(1, 10, write);
  touch(2, 20, write);
  touch(3, 30, read);
  EXPECT_EQ(races(), (Pairs{{10, 20}, {10, 30}, {20, 30}}));
}

TEST_F(RaceDetectorTest, AnOrderedWriteTakesTheEarlierOnesPlace) {
  touch(1, 10, write);
  detector.fork(1, 2);
  touch(2, 20, write);
  touch(3, 30, read);
  // With 10 the read races as well; 20, which covers it, stands for it.
  EXPECT_EQ(races(), (Pairs{{20, 30}}));
}

TEST_F(RaceDetectorTest, AWriteOfFewerBytesDoesNotTakeItsPlace) {
  touch(1, 10, write, kWord, 8);
  detector.fork(1, 2);
  touch(2, 20, write, kWord, 4);
  touch(3, 30, read, kWord + 4, 4);
  EXPECT_EQ(races(), (Pairs{{10, 30}}));
}

TEST_F(RaceDetectorTest, TheSameSiteAfterAReleaseIsRememberedAnew) {
  lock(2);  // makes it a lock before anything is published
  unlock(2);
  touch(1, 10, write);
  lock(1);
  unlock(1);
  touch(1, 10, write);  // not published any more
  lock(3);
  touch(3, 30, read);
  EXPECT_EQ(races(), (Pairs{{10, 30}}));
}

TEST_F(RaceDetectorTest, APairThatRacesIsNotListedAsLockOrdered) {
  touch(1, 10, write);
  touch(2, 20, write);
  lock(1);
  touch(1, 10, write, kOther);
  unlock(1);
  lock(2);
  touch(2, 20, write, kOther);
  EXPECT_EQ(races(), (Pairs{{10, 20}}));
  EXPECT_THAT(lock_ordered(), IsEmpty());
}

TEST_F(RaceDetectorTest, LimitsHold) {
  RaceDetector::Limits limits;
  limits.racing_words = 2;
  limits.pairs_per_word = 1;
  limits.lock_ordered = 1;
  detector = RaceDetector(limits);
  for (uint64_t i = 0; i < 4; ++i) {
    touch(1, 10 + i, write, kWord + 8 * i);
    touch(2, 20 + i, write, kWord + 8 * i);
    touch(2, 30 + i, read, kWord + 8 * i);  // a second pair of the word
    touch(1, 40 + i, read, kWord + 8 * i);
  }
  EXPECT_EQ(races(), (Pairs{{10, 20}, {11, 21}}));
  for (uint64_t i = 0; i < 4; ++i) {
    lock(3);
    touch(3, 50 + i, write, kOther + 8 * i);
    unlock(3);
    lock(4);
    touch(4, 60 + i, write, kOther + 8 * i);
    unlock(4);
  }
  EXPECT_THAT(lock_ordered(), SizeIs(1));
}

}  // namespace
}  // namespace heddle
