#include "explorer/happens_before.h"

#include <gtest/gtest.h>

namespace heddle {
namespace {

// An event that a strand did: remembered by its epoch, as the race detector does.
struct Moment {
  StrandId strand;
  Clock clock;
};

class HappensBeforeTest : public testing::Test {
 protected:
  Moment now(StrandId strand) { return {strand, order.epoch(strand)}; }
  bool before(const Moment& earlier, StrandId later) {
    return order.ordered(earlier.strand, earlier.clock, later);
  }

  HappensBefore order;
};

TEST_F(HappensBeforeTest, AStrandIsOrderedWithItself) {
  const Moment first = now(1);
  EXPECT_TRUE(before(first, 1));
  order.release(1, 7);
  EXPECT_TRUE(before(first, 1));
}

TEST_F(HappensBeforeTest, StrandsAreUnorderedAtFirst) {
  const Moment one = now(1), two = now(2);
  EXPECT_FALSE(before(one, 2));
  EXPECT_FALSE(before(two, 1));
}

TEST_F(HappensBeforeTest, ForkOrdersWhatTheParentDidBefore) {
  const Moment before_fork = now(1);
  order.fork(1, 2);
  const Moment after_fork = now(1), child = now(2);
  EXPECT_TRUE(before(before_fork, 2));
  EXPECT_FALSE(before(after_fork, 2));
  EXPECT_FALSE(before(child, 1));
}

TEST_F(HappensBeforeTest, ForkIsTransitiveAndSiblingsAreUnordered) {
  const Moment root = now(1);
  order.fork(1, 2);
  order.fork(2, 3);
  order.fork(1, 4);
  EXPECT_TRUE(before(root, 3));
  EXPECT_TRUE(before(root, 4));
  const Moment third = now(3), fourth = now(4);
  EXPECT_FALSE(before(third, 4));
  EXPECT_FALSE(before(fourth, 3));
}

TEST_F(HappensBeforeTest, ForkOfAStrandWithAHighNumberKeepsTheParentsClock) {
  order.fork(1, 1000);  // grows the table while the parent's clock is read
  const Moment child = now(1000);
  EXPECT_EQ(child.clock, 1u);
  EXPECT_FALSE(before(now(1), 1000));
}

TEST_F(HappensBeforeTest, JoinOrdersWhatTheEndedStrandDid) {
  order.fork(1, 2);
  const Moment child = now(2);
  order.join(1, 2);
  EXPECT_TRUE(before(child, 1));
  // A number that is used again goes on unordered.
  EXPECT_FALSE(before(now(2), 1));
}

TEST_F(HappensBeforeTest, ReleaseAndAcquireOrder) {
  const Moment published = now(1);
  order.release(1, 7);
  const Moment later = now(1);
  order.acquire(2, 7);
  EXPECT_TRUE(before(published, 2));
  EXPECT_FALSE(before(later, 2));
}

TEST_F(HappensBeforeTest, AcquireOfAnotherObjectOrdersNothing) {
  const Moment published = now(1);
  order.release(1, 7);
  order.acquire(2, 8);
  EXPECT_FALSE(before(published, 2));
}

TEST_F(HappensBeforeTest, AcquireBeforeTheReleaseOrdersNothing) {
  order.acquire(2, 7);
  const Moment published = now(1);
  order.release(1, 7);
  EXPECT_FALSE(before(published, 2));
}

TEST_F(HappensBeforeTest, ReleasesAccumulate) {
  const Moment one = now(1);
  order.release(1, 7);
  const Moment two = now(2);
  order.release(2, 7);
  order.acquire(3, 7);
  EXPECT_TRUE(before(one, 3));
  EXPECT_TRUE(before(two, 3));
  // The releases of two strands do not order these with each other.
  EXPECT_FALSE(before(one, 2));
  EXPECT_FALSE(before(two, 1));
}

TEST_F(HappensBeforeTest, AcquireOfOnesOwnReleaseThenOfAnothers) {
  order.release(1, 7);
  order.acquire(1, 7);
  const Moment other = now(2);
  order.release(2, 7);
  order.acquire(1, 7);
  EXPECT_TRUE(before(other, 1));
}

TEST_F(HappensBeforeTest, AcquireReleaseMakesAChain) {
  const Moment one = now(1);
  order.acquire_release(1, 7);
  const Moment two = now(2);
  order.acquire_release(2, 7);
  order.acquire_release(3, 7);
  EXPECT_TRUE(before(one, 2));
  EXPECT_TRUE(before(one, 3));
  EXPECT_TRUE(before(two, 3));
  EXPECT_FALSE(before(two, 1));
}

TEST_F(HappensBeforeTest, OrderPassesThroughAThirdStrand) {
  const Moment one = now(1);
  order.release(1, 7);
  order.acquire(2, 7);
  order.release(2, 8);
  order.acquire(3, 8);
  EXPECT_TRUE(before(one, 3));
}

TEST_F(HappensBeforeTest, ForgottenObjectsOrderNothing) {
  const Moment one = now(1);
  order.release(1, 7);
  order.forget(7);
  order.acquire(2, 7);
  EXPECT_FALSE(before(one, 2));
  // ... and count as new ones.
  const Moment later = now(1);
  order.release(1, 7);
  order.acquire(3, 7);
  EXPECT_TRUE(before(later, 3));
}

TEST(VectorClockTest, JoinTakesTheGreaterOfEach) {
  VectorClock one, two;
  one.set(1, 5);
  one.set(2, 1);
  two.set(2, 4);
  two.set(9, 3);
  one.join(two);
  EXPECT_EQ(one[1], 5u);
  EXPECT_EQ(one[2], 4u);
  EXPECT_EQ(one[9], 3u);
  EXPECT_EQ(one[100], 0u);
}

}  // namespace
}  // namespace heddle
