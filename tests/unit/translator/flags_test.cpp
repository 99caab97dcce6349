// Liveness of status flags, and what of them shows.
#include <gtest/gtest.h>

#include "tests/unit/translator/code_bytes.h"

namespace heddle::translator {
namespace {

constexpr uint64_t kCarry = 1, kParity = 4, kAdjust = 16, kZero = 64, kSign = 128, kOverflow = 2048;

bool dead(std::vector<uint8_t> code, uint64_t pc = kGuest) {
  return status_flags_dead(CodeBytes(pc, std::move(code)), pc);
}

uint64_t shown(std::vector<uint8_t> code, uint64_t flags) {
  return canonical_flags(CodeBytes(kGuest, std::move(code)), kGuest, flags) & kStatusFlags;
}

TEST(Flags, AreDeadWhereAllAreWrittenFirst) {
  EXPECT_TRUE(dead({0x01, 0xd8}));                    // add
  EXPECT_TRUE(dead({0x8b, 0x07, 0x50, 0x39, 0xd8}));  // mov; push; cmp
  EXPECT_TRUE(dead({0xff, 0xc0, 0xf8}));              // inc; clc
  EXPECT_TRUE(dead({0x66, 0x0f, 0x2f, 0xc1, 0x90}));  // comisd
}

TEST(Flags, AreAliveWhereSomethingMayReadThem) {
  EXPECT_FALSE(dead({0x72, 0x00, 0x01, 0xd8}));        // jc; add
  EXPECT_FALSE(dead({0x11, 0xd8}));                    // adc
  EXPECT_FALSE(dead({0x0f, 0x94, 0xc0, 0x01, 0xd8}));  // sete; add
  EXPECT_FALSE(dead({0x0f, 0x44, 0xc1, 0x01, 0xd8}));  // cmove; add
  EXPECT_FALSE(dead({0x9c, 0x01, 0xd8}));              // pushf; add
  EXPECT_FALSE(dead({0x9f, 0x01, 0xd8}));              // lahf; add
  EXPECT_FALSE(dead({0xff, 0xc0, 0x72, 0x00}));        // inc keeps CF; jc
  EXPECT_FALSE(dead({0xd3, 0xe0, 0x72, 0x00}));        // shl eax,cl keeps all when cl is 0
  EXPECT_FALSE(dead({0xd3, 0xe0, 0x90}));
  EXPECT_FALSE(dead({0xf3, 0xa6, 0x72, 0x00}));        // repe cmpsb keeps all when rcx is 0
  EXPECT_FALSE(dead({0xe8, 0x00, 0x00, 0x00, 0x00}));  // call: no convention is assumed
  EXPECT_FALSE(dead({0xc3}));
  EXPECT_FALSE(dead({0x0f, 0x05}));
  EXPECT_FALSE(dead({0xcc}));
  EXPECT_FALSE(dead({0xe1, 0x00, 0x01, 0xd8}));  // loope reads ZF
}

TEST(Flags, UndefinedIsNotWritten) {
  EXPECT_FALSE(dead({0xf7, 0xe3, 0x74, 0x00}));        // mul leaves ZF undefined; je
  EXPECT_FALSE(dead({0x21, 0xd8, 0x90, 0x0f, 0x0b}));  // and leaves AF undefined; ud2
}

TEST(Flags, TheScanStaysInItsPage) {
  // add lies half in the next page.
  EXPECT_FALSE(dead({0x01, 0xd8}, 0x401fff));
  EXPECT_TRUE(dead({0x01, 0xd8}, 0x401ffe));
  EXPECT_FALSE(dead({0x90, 0x01, 0xd8}, 0x401fff));
}

TEST(Flags, EachDeadFlagShowsAsZero) {
  EXPECT_EQ(shown({0x01, 0xd8}, kStatusFlags), 0u);                      // add writes all
  EXPECT_EQ(shown({0xcc}, kStatusFlags), kStatusFlags);                  // int3: all are alive
  EXPECT_EQ(shown({0xff, 0xc0, 0xcc}, kStatusFlags), kCarry);            // inc keeps CF
  EXPECT_EQ(shown({0xf8, 0xcc}, kStatusFlags), kStatusFlags & ~kCarry);  // clc writes CF only
  EXPECT_EQ(shown({0xf9, 0x74, 0x00}, kStatusFlags), kStatusFlags & ~kCarry);
  EXPECT_EQ(shown({0x74, 0x00, 0x01, 0xd8}, kStatusFlags), kStatusFlags);
  EXPECT_EQ(kCarry | kParity | kAdjust | kZero | kSign | kOverflow, kStatusFlags);
}

TEST(Flags, TrapAndResumeNeverShow) {
  const CodeBytes code(kGuest, {0xcc});
  EXPECT_EQ(canonical_flags(code, kGuest, 0x10102), 0x202u);
}

}  // namespace
}  // namespace heddle::translator
