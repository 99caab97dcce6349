// A corpus of generated programs, each compared in every mode. translate_fuzz takes more of them.
#include <gtest/gtest.h>

#include "tests/differential/comparison.h"
#include "tests/differential/generator.h"

namespace heddle::differential {
namespace {

// Some groups, so that ctest runs them side by side.
class Corpus : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Corpus, RunsAsNatively) {
  constexpr uint64_t kPrograms = 400;
  Comparison comparison;
  for (uint64_t seed = GetParam() * kPrograms; seed < (GetParam() + 1) * kPrograms; ++seed) {
    const auto program = generate(seed);
    if (!comparison.difference(program)) continue;
    const auto least = comparison.minimised(program);
    ADD_FAILURE() << "seed " << seed << ": " << comparison.difference(least).value_or("nothing")
                  << "\n"
                  << least.text();
    return;
  }
}

INSTANTIATE_TEST_SUITE_P(Differential, Corpus, ::testing::Range<uint64_t>(0, 6));

}  // namespace
}  // namespace heddle::differential
