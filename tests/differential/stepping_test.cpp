// Real programs against their own single-stepped native runs: the same state at the same ticks in
// every translation mode.
#include <gtest/gtest.h>

#include "tests/differential/translated_program.h"

namespace heddle::differential {
namespace {

Program guest(const std::string& name) {
  Program program;
  program.path = std::string(HEDDLE_GUESTS) + "/" + name;
  program.arguments = {program.path};
  program.environment = {"PATH=/usr/bin:/bin", "LANG=C"};
  return program;
}

void hold(const SteppedProgram& native, Ticks coarse) {
  ASSERT_GT(native.instructions, 1000u);
  ASSERT_GT(native.ticks.size(), 100u);
  {
    Holding fast;
    fast.stride = coarse;
    EXPECT_EQ(first_difference(native, fast).value_or(""), "") << "fast";
  }
  {
    Holding exact;
    exact.stride = coarse * 3;
    exact.places = true;
    EXPECT_EQ(first_difference(native, exact).value_or(""), "") << "exact";
  }
  {
    Holding logging;
    logging.options.log_accesses = true;
    logging.stride = coarse * 10;
    EXPECT_EQ(first_difference(native, logging).value_or(""), "") << "logging";
  }
  const std::set<uint64_t> updates(native.updates.begin(), native.updates.end());
  ASSERT_FALSE(updates.empty());
  for (const bool resume : {true, false}) {
    Holding splitting;
    splitting.options.points = &updates;
    splitting.stride = coarse * 10;
    splitting.points = 7;
    splitting.resume_at_points = resume;
    EXPECT_EQ(first_difference(native, splitting).value_or(""), "") << "splitting";
  }
}

TEST(Stepping, AStaticProgramIsTheSameAtEveryTick) {
  const auto native = step_program(guest("static_hello"), ~uint64_t{0});
  EXPECT_EQ(native.status, 0);
  hold(native, 1);
}

TEST(Stepping, ADynamicProgramIsTheSameAtItsTicks) {
  const auto native = step_program(guest("dynamic_hello"), ~uint64_t{0});
  EXPECT_EQ(native.status, 0);
  hold(native, 10);
}

}  // namespace
}  // namespace heddle::differential
