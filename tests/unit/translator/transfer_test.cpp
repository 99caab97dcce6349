// Branches, calls, returns: where they lead, and where they tick.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/translator/code_bytes.h"

namespace heddle::translator {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<uint64_t> link_targets(const Translation& t) {
  std::vector<uint64_t> targets;
  for (const auto& link : t.links) targets.push_back(link.target);
  return targets;
}

std::vector<uint64_t> budget_exits(const Translation& t) {
  std::vector<uint64_t> pcs;
  for (const auto& site : t.exits)
    if (site.kind == ExitKind::budget) pcs.push_back(site.pc);
  return pcs;
}

TEST(Transfer, EveryUnlinkedTransferLeadsToItsLinkExit) {
  // je +0x10; jne -14; jmp +0x1000
  const auto t = translated({0x74, 0x10, 0x75, 0xf0, 0xe9, 0x00, 0x10, 0x00, 0x00});
  ASSERT_EQ(t.links.size(), 3u);
  for (const auto& link : t.links) {
    int32_t displacement;
    std::memcpy(&displacement, t.code.data() + link.offset, sizeof displacement);
    EXPECT_EQ(link.offset + 4 + static_cast<uint32_t>(displacement), link.stub);
    const auto site = std::find_if(t.exits.begin(), t.exits.end(),
                                   [&](const auto& s) { return s.offset == link.stub; });
    ASSERT_NE(site, t.exits.end());
    EXPECT_EQ(site->kind, ExitKind::link);
    EXPECT_EQ(site->pc, link.target);
    EXPECT_TRUE(site->spills.empty());
  }
}

TEST(Transfer, ForwardBranchesDoNotTick) {
  const std::vector<uint8_t> forward[] = {
      {0x74, 0x10},                          // je, short
      {0x0f, 0x84, 0x00, 0x10, 0x00, 0x00},  // je, near
      {0xeb, 0x00},                          // jmp to the next instruction
      {0xe9, 0x00, 0x10, 0x00, 0x00},        // jmp, near
      {0xe3, 0x10},                          // jrcxz
      {0x67, 0xe3, 0x10},                    // jecxz
      {0xe2, 0x10},                          // loop
      {0xe1, 0x10},                          // loope
      {0xe0, 0x10},                          // loopne
  };
  for (const auto& code : forward) {
    const auto t = translated(code);
    EXPECT_THAT(exit_kinds(t), Not(Contains(ExitKind::budget))) << int{code[0]};
    EXPECT_GE(t.links.size(), 1u);
  }
}

TEST(Transfer, BackwardBranchesTickAtTheirTarget) {
  const std::vector<uint8_t> backward[] = {
      {0x74, 0xf0},                          // je, short
      {0x0f, 0x84, 0xec, 0xff, 0xff, 0xff},  // je, near
      {0xeb, 0xf0},                          // jmp, short
      {0xe9, 0xed, 0xff, 0xff, 0xff},        // jmp, near
      {0xe3, 0xf0},                          // jrcxz
      {0x67, 0xe3, 0xef},                    // jecxz
      {0xe2, 0xf0},                          // loop
      {0xe1, 0xf0},                          // loope
      {0xe0, 0xf0},                          // loopne
  };
  for (const auto& code : backward)
    EXPECT_THAT(budget_exits(translated(code)), ElementsAre(kGuest - 14)) << int{code[0]};
}

TEST(Transfer, BranchesWithinABlockAreLinkedAtOnce) {
  // je over the inc; inc eax; ret
  const auto t = translated({0x74, 0x02, 0xff, 0xc0, 0xc3});
  EXPECT_THAT(link_targets(t), IsEmpty());
  ASSERT_EQ(t.inner.size(), 2u);
  EXPECT_EQ(t.inner[1].distance, 4u);
  int32_t displacement;
  std::memcpy(&displacement, t.code.data() + 2, sizeof displacement);
  EXPECT_EQ(6 + static_cast<uint32_t>(displacement), t.inner[1].offset);
}

Options fast() {
  Options options;
  options.fast = true;
  return options;
}

TEST(Transfer, ASmallLoopIsCopiedAndCountsItsTurnsTogether) {
  // add eax,ebx; dec ecx; jne top; ret
  const auto t = translated({0x01, 0xd8, 0xff, 0xc9, 0x75, 0xfa, 0xc3}, fast());
  uint8_t most = 0;
  for (const auto& origin : t.origins) most = std::max(most, origin.uncounted);
  EXPECT_EQ(most, 16u);
  const auto text = host_text(t);
  EXPECT_EQ(std::ranges::count(text, "add eax, ebx"), 17);
  // With a flag that the next turn needs, there is no place to count at.
  const auto adc = translated({0x11, 0xd8, 0xff, 0xc9, 0x75, 0xfa, 0xc3}, fast());
  EXPECT_EQ(std::ranges::count(host_text(adc), "adc eax, ebx"), 1);
}

TEST(Transfer, RegistersStayLentUntilTheGuestUsesOne) {
  auto options = fast();
  options.lent = true;
  // inc eax; jmp +0x1000
  const auto plain = translated({0xff, 0xc0, 0xe9, 0x00, 0x10, 0x00, 0x00}, options);
  ASSERT_EQ(plain.links.size(), 1u);
  EXPECT_TRUE(plain.links[0].lent);
  // inc r10d; jmp +0x1000
  const auto user = translated({0x41, 0xff, 0xc2, 0xe9, 0x00, 0x10, 0x00, 0x00}, options);
  ASSERT_EQ(user.links.size(), 1u);
  EXPECT_FALSE(user.links[0].lent);
  // ret lends them again, and its exit is a lookup.
  const auto ret = translated({0x41, 0xff, 0xc2, 0xc3}, options);
  ASSERT_EQ(ret.indirects.size(), 1u);
}

TEST(Transfer, ABranchToItselfTicks) {
  EXPECT_THAT(budget_exits(translated({0xeb, 0xfe})), ElementsAre(kGuest));
}

TEST(Transfer, CallsTickBackwardOnly) {
  const auto forward = translated({0xe8, 0x00, 0x10, 0x00, 0x00});
  EXPECT_THAT(budget_exits(forward), IsEmpty());
  EXPECT_THAT(link_targets(forward), ElementsAre(kGuest + 0x1005));
  EXPECT_EQ(forward.code[0], 0x68) << "push of the guest's return address";
  const auto backward = translated({0xe8, 0xfb, 0xff, 0xff, 0xff});
  EXPECT_THAT(budget_exits(backward), ElementsAre(kGuest)) << "a call of itself";
}

TEST(Transfer, ReturnAddressesAboveTwoGigabytesArePushedAtOnce) {
  const uint64_t guest = 0x7fff'f7a0'1000;
  const auto t = translated({0xe8, 0x00, 0x10, 0x00, 0x00}, {}, guest, 0x7fff'd000'0000);
  // push [rip + ...]
  ASSERT_EQ(t.code[0], 0xff);
  ASSERT_EQ(t.code[1], 0x35);
  int32_t displacement;
  std::memcpy(&displacement, t.code.data() + 2, sizeof displacement);
  uint64_t pushed;
  ASSERT_LE(6 + static_cast<size_t>(displacement) + 8, t.code.size());
  std::memcpy(&pushed, t.code.data() + 6 + displacement, sizeof pushed);
  EXPECT_EQ(pushed, guest + 5);
  EXPECT_THAT(t.returns, ElementsAre(guest + 5));
}

TEST(Transfer, IndirectTransfersLookUp) {
  const std::vector<uint8_t> indirect[] = {
      {0xff, 0xe0},                          // jmp rax
      {0x41, 0xff, 0xe4},                    // jmp r12
      {0xff, 0x24, 0xc7},                    // jmp [rdi+rax*8]
      {0xff, 0x25, 0x00, 0x10, 0x00, 0x00},  // jmp [rip+0x1000]
      {0xff, 0xd1},                          // call rcx
      {0xff, 0x54, 0x24, 0x08},              // call [rsp+8]
      {0x64, 0xff, 0x10},                    // call fs:[rax]
      {0xc3},                                // ret
      {0xc2, 0x10, 0x00},                    // ret 16
      {0xf3, 0xc3},                          // rep ret
      {0xf2, 0xff, 0xe1},                    // bnd jmp rcx
      {0x3e, 0xff, 0xe2},                    // notrack jmp rdx
  };
  for (const auto& code : indirect) {
    const auto t = translated(code);
    ASSERT_EQ(t.indirects.size(), 1u) << int{code[0]};
    EXPECT_EQ(t.indirects[0].pc, kGuest);
    EXPECT_TRUE(t.exits.empty());
    EXPECT_TRUE(t.links.empty());
  }
}

TEST(Transfer, IndirectTransfersTellWhatTheyDidToTheStack) {
  EXPECT_EQ(translated({0xff, 0xe0}).indirects.at(0).stack_change, 0);
  EXPECT_EQ(translated({0xff, 0xd0}).indirects.at(0).stack_change, -8);
  EXPECT_EQ(translated({0xc3}).indirects.at(0).stack_change, 8);
  EXPECT_EQ(translated({0xc2, 0x10, 0x00}).indirects.at(0).stack_change, 24);
}

TEST(Transfer, ALandingPadTicksInFrontOfItsBlock) {
  Options options;
  options.landing = true;
  const std::vector<uint8_t> flags_dead{0x01, 0xd8, 0xcc}, flags_alive{0x72, 0x00, 0xcc};
  for (const auto& code : {flags_dead, flags_alive}) {
    for (const uint64_t guest : {kGuest, uint64_t{0x7fff'f7a0'1000}}) {
      const uint64_t host = guest == kGuest ? kHost : 0x7fff'd000'0000;
      const auto t = translated(code, options, guest, host);
      ASSERT_TRUE(t.landing);
      EXPECT_LT(t.landing->offset, t.entry);
      EXPECT_THAT(budget_exits(t), ElementsAre(guest));
      EXPECT_FALSE(find_exit(t, ExitKind::budget)->spills.empty());
      uint64_t next;
      ASSERT_LE(t.landing->next + sizeof next, t.code.size());
      std::memcpy(&next, t.code.data() + t.landing->next, sizeof next);
      EXPECT_EQ(next, 0u);
    }
  }
  options.max_instructions = 0;
  const auto alone = translated(flags_dead, options);
  EXPECT_THAT(link_targets(alone), ElementsAre(kGuest));
  EXPECT_EQ(alone.instructions, 0u);
}

TEST(Transfer, NothingIsPushedButReturnAddresses) {
  const std::vector<uint8_t> codes[] = {{0xff, 0xe0}, {0xc3}, {0x74, 0xf0}, {0xff, 0xd0}};
  for (const auto& code : codes) {
    size_t pushes = 0;
    for (const auto& line : host_text(translated(code))) {
      pushes += line.starts_with("push");
      EXPECT_THAT(line, Not(::testing::StartsWith("call")));
    }
    EXPECT_EQ(pushes, code == codes[3] ? 1u : 0u);
  }
}

// loop, loope, loopne and jrcxz have no 32-bit displacement: they hop over a jump.
TEST(Transfer, CountedBranchesKeepTheirPrefixes) {
  const auto t = translated({0x67, 0xe2, 0x10, 0xcc});
  ASSERT_GE(t.code.size(), 3u);
  EXPECT_EQ(t.code[0], 0x67);
  EXPECT_EQ(t.code[1], 0xe2);
  EXPECT_THAT(link_targets(t), ElementsAre(kGuest + 3 + 0x10, kGuest + 3));
}

TEST(Transfer, ConditionsKeepTheirSense) {
  for (uint8_t condition = 0; condition < 16; ++condition) {
    const auto short_form = translated({static_cast<uint8_t>(0x70 | condition), 0x10});
    const auto near_form =
        translated({0x0f, static_cast<uint8_t>(0x80 | condition), 0x0c, 0, 0, 0});
    for (const auto& t : {short_form, near_form}) {
      EXPECT_EQ(t.code[0], 0x0f);
      EXPECT_EQ(t.code[1], 0x80 | condition);
      EXPECT_EQ(t.links.at(0).target, kGuest + 0x12);
    }
  }
}

}  // namespace
}  // namespace heddle::translator
