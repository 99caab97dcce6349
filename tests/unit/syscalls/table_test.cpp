#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>

#include "machine/syscalls/effects.h"
#include "machine/syscalls/extents.h"

namespace heddle {
namespace {

TEST(Table, HasEveryNumberOfX8664) {
  for (uint64_t number = 0; number <= 450; ++number) {
    if (number > 334 && number < 424) {
      EXPECT_EQ(find(number), nullptr) << number;
      continue;
    }
    ASSERT_NE(find(number), nullptr) << number;
    EXPECT_EQ(find(number)->number, number);
  }
  EXPECT_EQ(find(451), nullptr);
  EXPECT_EQ(find(~uint64_t{0}), nullptr);
}

TEST(Table, RowsAreInOrderAndNamedOnce) {
  std::set<std::string> names;
  for (const auto& family : families()) {
    EXPECT_TRUE(std::ranges::is_sorted(family.calls, {}, &Syscall::number)) << family.name;
    for (const auto& call : family.calls) EXPECT_TRUE(names.insert(call.name).second) << call.name;
  }
}

TEST(Table, NoCallHasTwoArgumentsWithOverwrittenLengths) {
  for (const auto& family : families())
    for (const auto& call : family.calls)
      EXPECT_LE(std::ranges::count_if(call.arguments,
                                      [](const Argument& a) {
                                        return a.extent == Extent::address ||
                                               a.extent == Extent::message ||
                                               a.extent == Extent::messages;
                                      }),
                1)
          << call.name;
}

TEST(Table, WhatIsOutOfReachIsRefusedByName) {
  for (const uint64_t number : {SYS_rseq, SYS_io_uring_setup, SYS_userfaultfd, SYS_io_setup})
    EXPECT_EQ(find(number)->replay, Replay::refused);
}

}  // namespace
}  // namespace heddle
