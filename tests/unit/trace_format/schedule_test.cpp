#include "trace_format/schedule.h"

#include <gtest/gtest.h>

namespace heddle {
namespace {

TEST(Schedule, PrintsAndParsesBack) {
  Schedule schedule;
  schedule.steps.push_back({{1, 5321, 0x401156, 1}, 2, 0});
  schedule.steps.push_back({{2, 0, ~uint64_t{0}, 0}, 1, 10});
  EXPECT_EQ(schedule.text(), "1@5321:401156.1>2,2@0:ffffffffffffffff>1!10");
  EXPECT_EQ(Schedule::parse(schedule.text()), schedule);
}

TEST(Schedule, FaultsPrintAndParseBack) {
  Schedule schedule;
  schedule.steps.push_back({{1, 5, 0x40, 0}, 1, 0, {FaultKind::interrupted, 0}});
  schedule.steps.push_back({{1, 6, 0x40, 0}, 2, 10, {FaultKind::short_transfer, 12}});
  schedule.steps.push_back({{2, 7, 0x41, 0}, 2, 0, {FaultKind::no_memory, 0}});
  schedule.steps.push_back({{2, 8, 0x41, 0}, 2, 0, {FaultKind::late, 0}});
  schedule.steps.push_back({{2, 9, 0x41, 0}, 1, 0, {FaultKind::wake_choice, 1}});
  EXPECT_EQ(schedule.text(),
            "1@5:40>1~eintr,1@6:40>2!10~short:12,2@7:41>2~nomem,2@8:41>2~late,2@9:41>1~wake:1");
  EXPECT_EQ(Schedule::parse(schedule.text()), schedule);
}

TEST(Schedule, HoldsPrintAndParseBack) {
  Schedule schedule;
  schedule.steps.push_back({{1, 5, 0x40, 0}, 2, 10, {}, true});
  schedule.steps.push_back({{2, 6, 0x41, 2}, 3, 0, {FaultKind::late, 0}, true});
  EXPECT_EQ(schedule.text(), "1@5:40>>2!10,2@6:41.2>>3~late");
  EXPECT_EQ(Schedule::parse(schedule.text()), schedule);
}

TEST(Schedule, WhatIsNoFaultIsNamed) {
  for (const auto* bad :
       {"", "eio", "short", "short:", "short:x", "short:1x", "late:1", "wake:-1"}) {
    try {
      Schedule::parse(std::string("1@5:40>1~") + bad);
      ADD_FAILURE() << "accepted: " << bad;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(std::string("\"") + bad + "\""), std::string::npos)
          << error.what();
    }
  }
}

TEST(Schedule, TheEmptyOneIsADash) {
  EXPECT_EQ(Schedule{}.text(), "-");
  EXPECT_EQ(Schedule::parse("-"), Schedule{});
}

TEST(Schedule, ErrorsNameTheOffset) {
  for (const auto* bad : {"", "1", "1@", "1@2", "1@2:", "1@2:zz>1", "1@2:3", "1@2:3>", "1@2:3>4,",
                          "1@2:3>4;", "1@2:3.9>4", "1@2:3>4!65", "99999999999@2:3>4", "-1@2:3>4"}) {
    try {
      Schedule::parse(bad);
      ADD_FAILURE() << "accepted: " << bad;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find("at offset"), std::string::npos) << bad;
    }
  }
}

TEST(Place, ParsesAsInASchedule) {
  EXPECT_EQ(parse_place("1@5321:401156"), (Place{1, 5321, 0x401156, 0}));
  EXPECT_EQ(parse_place("2@0:4.1"), (Place{2, 0, 4, 1}));
  for (const auto* bad : {"", "7", "1@2", "1@2:3>4", "1@2:3.9", "1@2:3 "})
    EXPECT_THROW(parse_place(bad), std::invalid_argument) << bad;
}

}  // namespace
}  // namespace heddle
