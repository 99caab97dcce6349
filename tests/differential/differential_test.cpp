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

// A small loop, whose turns are copied, with branches ahead in it: to instructions of the turn, and
// out of the loop when `leaves` turns are left.
GuestProgram loop_with_branches(uint8_t mask, uint8_t leaves) {
  GuestProgram program = generate(1);  // for its registers
  program.items.clear();
  const auto add = [&](Item item) { program.items.push_back(std::move(item)); };
  const auto branch = [&](uint8_t condition, int target) {
    add({.kind = Item::Kind::conditional, .bytes = {condition}, .target = target});
  };
  constexpr uint8_t kEqual = 4, kNotEqual = 5;
  add({.bytes = {0xb9, 100, 0, 0, 0}});      // mov ecx,100
  add({.bytes = {0x83, 0xc3, 0x07}});        // 1, top: add ebx,7
  add({.bytes = {0xf6, 0xc3, mask}});        // test bl,mask
  branch(kEqual, 7);                         // je inner
  add({.bytes = {0x83, 0xc0, 0x03}});        // add eax,3
  add({.bytes = {0xf6, 0xc3, 0x20}});        // test bl,32
  branch(kNotEqual, 8);                      // jne next
  add({.bytes = {0x48, 0x8d, 0x52, 0x01}});  // 7, inner: lea rdx,[rdx+1]
  add({.bytes = {0x83, 0xf9, leaves}});      // 8, next: cmp ecx,leaves
  branch(kEqual, 12);                        // je out
  add({.bytes = {0x83, 0xe9, 0x01}});        // sub ecx,1
  branch(kNotEqual, 1);                      // jne top
  add({.bytes = {0x0f, 0x92, 0xc0}});        // 12, out: setb al
  program.registers[Register::rip] = program.placement.code;
  return program;
}

TEST(Loops, BranchAheadInTheirTurns) {
  Comparison comparison;
  for (const int mask : {0x00, 0x01, 0x03, 0x10, 0xff})
    for (const int leaves : {0, 1, 50, 98, 99, 100}) {
      const auto program =
          loop_with_branches(static_cast<uint8_t>(mask), static_cast<uint8_t>(leaves));
      EXPECT_EQ(comparison.difference(program).value_or(""), "") << mask << ", " << leaves;
    }
}

INSTANTIATE_TEST_SUITE_P(Differential, Corpus, ::testing::Range<uint64_t>(0, 6));

}  // namespace
}  // namespace heddle::differential
