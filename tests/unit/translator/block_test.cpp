// The walk over a block: what is copied, what leaves, where each byte comes from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/unit/translator/code_bytes.h"

namespace heddle::translator {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

TEST(Block, CopiesPlainInstructionsUnchanged) {
  // mov eax,[rdi+8]; add rax,rsi; vaddps ymm0,ymm1,[rdx]; ud2
  const std::vector<uint8_t> code{0x8b, 0x47, 0x08, 0x48, 0x01, 0xf0,
                                  0xc5, 0xf4, 0x58, 0x02, 0x0f, 0x0b};
  const auto t = translated(code);
  ASSERT_GE(t.code.size(), 10u);
  EXPECT_TRUE(std::equal(code.begin(), code.begin() + 10, t.code.begin()));
  EXPECT_EQ(t.instructions, 4u);
  EXPECT_EQ(t.end, kGuest + code.size());
}

TEST(Block, RebiasesRipRelativeOperands) {
  // mov eax,[rip+0x2000]; mov dword [rip-0x10],0x11223344; int3
  const auto t = translated({0x8b, 0x05, 0x00, 0x20, 0x00, 0x00, 0xc7, 0x05, 0xf0, 0xff, 0xff, 0xff,
                             0x44, 0x33, 0x22, 0x11, 0xcc});
  const auto target = [&](size_t at, size_t length) {
    int32_t displacement;
    std::memcpy(&displacement, t.code.data() + at + 2, sizeof displacement);
    return kHost + at + length + static_cast<uint64_t>(static_cast<int64_t>(displacement));
  };
  EXPECT_EQ(target(0, 6), kGuest + 6 + 0x2000);
  EXPECT_EQ(target(6, 10), kGuest + 16 - 0x10);
  EXPECT_EQ(t.code[12], 0x44) << "an immediate behind the displacement stays";
}

TEST(Block, ReachesFarOperandsThroughARegister) {
  const struct {
    std::vector<uint8_t> bytes, copied;
  } cases[] = {
      // mov r9d,[rip+0x2000], with a REX.B that means nothing
      {{0x45, 0x8b, 0x0d, 0x00, 0x20, 0x00, 0x00}, {0x44, 0x8b, 0x09}},
      // add ecx,[rip+0x2000]: another register than the operation's
      {{0x03, 0x0d, 0x00, 0x20, 0x00, 0x00}, {0x03, 0x0a}},
      // imul r8,[rip+0x2000],0x11223344
      {{0x4c, 0x69, 0x05, 0x00, 0x20, 0x00, 0x00, 0x44, 0x33, 0x22, 0x11},
       {0x4c, 0x69, 0x01, 0x44, 0x33, 0x22, 0x11}},
      // vaddps ymm9,ymm1,[rip+0x2000], with VEX.B
      {{0xc4, 0x41, 0x74, 0x58, 0x0d, 0x00, 0x20, 0x00, 0x00}, {0xc4, 0x61, 0x74, 0x58, 0x09}},
      // vaddps zmm1,zmm0,[rip+0x2000]{1to16}, with EVEX.X and B
      {{0x62, 0x91, 0x7c, 0x58, 0x58, 0x0d, 0x00, 0x20, 0x00, 0x00},
       {0x62, 0xf1, 0x7c, 0x58, 0x58, 0x09}},
      // cmpxchg16b [rip+0x2000], which leaves rsi
      {{0x48, 0x0f, 0xc7, 0x0d, 0x00, 0x20, 0x00, 0x00}, {0x48, 0x0f, 0xc7, 0x0e}},
  };
  for (const auto& c : cases) {
    const auto t = translated(c.bytes, {}, kGuest, 0x7fff'd000'0000);
    EXPECT_FALSE(std::ranges::search(t.code, c.copied).empty()) << testing::PrintToString(t.code);
    const uint64_t target = kGuest + c.bytes.size() + 0x2000;
    std::array<uint8_t, 8> address;
    std::memcpy(address.data(), &target, sizeof target);
    EXPECT_FALSE(std::ranges::search(t.code, std::span(address).first(4)).empty());
  }
}

TEST(Block, SpecialInstructionsLeaveBeforeTheyExecute) {
  const struct {
    std::vector<uint8_t> bytes;
    SpecialInstruction which;
    Register operand;
    uint8_t size;
  } cases[] = {
      {{0x0f, 0x31}, SpecialInstruction::rdtsc, Register::rax, 0},
      {{0x0f, 0x01, 0xf9}, SpecialInstruction::rdtscp, Register::rax, 0},
      {{0x0f, 0x01, 0xd0}, SpecialInstruction::xgetbv, Register::rax, 0},
      {{0x48, 0x0f, 0xc7, 0xf1}, SpecialInstruction::rdrand, Register::rcx, 8},
      {{0x66, 0x0f, 0xc7, 0xf2}, SpecialInstruction::rdrand, Register::rdx, 2},
      {{0x41, 0x0f, 0xc7, 0xf9}, SpecialInstruction::rdseed, Register::r9, 4},
      {{0xf3, 0x0f, 0xc7, 0xff}, SpecialInstruction::rdpid, Register::rdi, 8},
  };
  for (const auto& c : cases) {
    const auto t = translated(c.bytes);
    ASSERT_THAT(exit_kinds(t), ElementsAre(ExitKind::special));
    const auto& site = t.exits[0];
    EXPECT_EQ(site.pc, kGuest);
    EXPECT_EQ(site.length, c.bytes.size());
    EXPECT_EQ(site.special, c.which);
    EXPECT_EQ(site.special_operand, c.operand);
    if (c.size != 0) {
      EXPECT_EQ(site.special_size, c.size);
    }
    EXPECT_EQ(t.code[site.offset], 0xcc);
    EXPECT_TRUE(site.spills.empty());
  }
}

TEST(Block, CpuidLeavesWhereTheRuntimeKnowsNoAnswer) {
  const auto t = translated({0x0f, 0xa2, 0x90});
  ASSERT_FALSE(t.exits.empty());
  const auto& site = t.exits[0];
  EXPECT_EQ(site.kind, ExitKind::special);
  EXPECT_EQ(site.special, SpecialInstruction::cpuid);
  EXPECT_EQ(site.pc, kGuest);
  EXPECT_EQ(site.length, 2);
  EXPECT_EQ(t.code[site.offset], 0xcc);
  EXPECT_GT(t.code.size(), site.offset + 1u) << "the runtime comes back behind it";
}

TEST(Block, SystemCallsLeaveBeforeTheyExecute) {
  const auto t = translated({0x90, 0x0f, 0x05, 0x90});
  ASSERT_THAT(exit_kinds(t), ElementsAre(ExitKind::syscall));
  EXPECT_EQ(t.exits[0].pc, kGuest + 1);
  EXPECT_EQ(t.exits[0].length, 2);
}

TEST(Block, SystemCallsGoThroughTheRuntimeWhereAsked) {
  Options options;
  options.runtime_syscalls = true;
  const auto t = translated({0x0f, 0x05, 0x90, 0xcc}, options);
  EXPECT_THAT(exit_kinds(t), ElementsAre(ExitKind::syscall, ExitKind::link));
  EXPECT_EQ(t.links.at(0).target, kGuest + 2);
}

TEST(Block, TrapsAndIllegalInstructionsAreTheGuests) {
  EXPECT_THAT(exit_kinds(translated({0xcc})), ElementsAre(ExitKind::trap));
  EXPECT_THAT(exit_kinds(translated({0xf1})), ElementsAre(ExitKind::trap));
  for (const std::vector<uint8_t>& code :
       {std::vector<uint8_t>{0x0f, 0x0b}, {0x0f, 0xb9, 0xc0}, {0x06}, {0xf0, 0x01, 0xc0}})
    EXPECT_THAT(exit_kinds(translated(code)), ElementsAre(ExitKind::illegal)) << int{code[0]};
}

// The host raises for the copy what it would have raised for the original.
TEST(Block, CopiesPrivilegedInstructions) {
  for (const std::vector<uint8_t>& code : {std::vector<uint8_t>{0xf4},
                                           {0xfa},
                                           {0xec},
                                           {0xe7, 0x80},
                                           {0x0f, 0x30},
                                           {0x0f, 0x22, 0xc0},
                                           {0x6e}})
    EXPECT_TRUE(std::equal(code.begin(), code.end(), translated(code).code.begin()));
}

// What runs natively but would escape the machine's hold on the program, or show its code cache.
TEST(Block, RefusesWhatItCannotTranslate) {
  const std::vector<uint8_t> refused[] = {
      {0xcd, 0x80},                                // int 0x80
      {0x0f, 0x34},                                // sysenter
      {0xf3, 0x48, 0x0f, 0xae, 0xd0},              // wrfsbase rax
      {0xf3, 0x48, 0x0f, 0xae, 0xd8},              // wrgsbase rax
      {0xf3, 0x48, 0x0f, 0xae, 0xc8},              // rdgsbase rax
      {0x0f, 0x01, 0x07},                          // sgdt [rdi]
      {0x65, 0x8b, 0x07},                          // mov eax,gs:[rdi]
      {0x65, 0xa4},                                // movs from gs:
      {0x8e, 0xe8},                                // mov gs,eax
      {0x8e, 0xe0},                                // mov fs,eax
      {0x8e, 0xd8},                                // mov ds,eax
      {0x0f, 0xa1},                                // pop fs
      {0x0f, 0xa9},                                // pop gs
      {0x0f, 0xb4, 0x07},                          // lfs eax,[rdi]
      {0x0f, 0xb2, 0x07},                          // lss eax,[rdi]
      {0xff, 0x2f},                                // jmp far [rdi]
      {0xff, 0x1f},                                // call far [rdi]
      {0xcb},                                      // retf
      {0x48, 0xcf},                                // iretq
      {0x66, 0xe9, 0x00, 0x01, 0x00, 0x00},        // jmp with a 16-bit operand: vendors differ
      {0x66, 0x0f, 0x84, 0x00, 0x01, 0x00, 0x00},  // je likewise
      {0x66, 0xc3},                                // ret likewise
      {0x66, 0xff, 0xe0},                          // jmp ax likewise
      {0x67, 0x8b, 0x05, 0x00, 0x01, 0x00, 0x00},  // mov eax,[eip+0x100]
      {0x0f, 0x01, 0xfd},                          // rdpru
      {0x0f, 0x03, 0xc0},                          // lsl eax,eax: tells the CPU's number
  };
  for (const auto& code : refused) {
    std::string text;
    for (const auto byte : code) text += std::to_string(byte) + " ";
    const auto t = translated(code);
    EXPECT_THAT(exit_kinds(t), ElementsAre(ExitKind::unsupported)) << text;
    EXPECT_EQ(t.exits[0].pc, kGuest);
  }
}

TEST(Block, CodeThatEndsIsAFetchFault) {
  const auto none = translated({});
  ASSERT_THAT(exit_kinds(none), ElementsAre(ExitKind::unreadable));
  EXPECT_EQ(none.exits[0].length, 0);
  // The first two bytes of a call: the fault is at the first byte that is missing.
  const auto cut = translated({0x90, 0xe8, 0x00});
  ASSERT_THAT(exit_kinds(cut), ElementsAre(ExitKind::unreadable));
  EXPECT_EQ(cut.exits[0].pc, kGuest + 1);
  EXPECT_EQ(cut.exits[0].length, 2);
}

TEST(Block, EndsAtTheInstructionLimitWithALink) {
  Options options;
  options.max_instructions = 3;
  const auto t = translated({0x90, 0x90, 0x90, 0x90, 0x90}, options);
  EXPECT_EQ(t.instructions, 3u);
  ASSERT_EQ(t.links.size(), 1u);
  EXPECT_EQ(t.links[0].target, kGuest + 3);
}

TEST(Block, EveryHostByteHasAnOrigin) {
  // mov eax,[rdi]; push rax; jne +0; call rax
  const auto t = translated({0x8b, 0x07, 0x50, 0x75, 0x00, 0xff, 0xd0});
  ASSERT_FALSE(t.origins.empty());
  EXPECT_EQ(t.origins.front().offset, 0u);
  for (size_t i = 1; i < t.origins.size(); ++i)
    EXPECT_LT(t.origins[i - 1].offset, t.origins[i].offset);
  EXPECT_EQ(t.origins[0].pc, kGuest);
  EXPECT_EQ(t.origins[1].pc, kGuest + 2);
  EXPECT_EQ(t.origins[2].pc, kGuest + 3);
}

TEST(Block, ExitsAreBreakpointsOrAskForALink) {
  const auto t = translated({0x74, 0x10, 0xe8, 0xf0, 0xff, 0xff, 0xff, 0xcc});
  for (const auto& site : t.exits)
    EXPECT_EQ(t.code.at(site.offset), site.kind == ExitKind::link ? 0xc7 : 0xcc);
}

TEST(Block, DependsOnTheHostAddressOnlyInDisplacements) {
  // Nothing here is relative to rip.
  const std::vector<uint8_t> code{0x01, 0xd8, 0x75, 0x00, 0xcc};
  EXPECT_EQ(translated(code, {}, kGuest, kHost).code,
            translated(code, {}, kGuest, kHost + 0x1000).code);
}

}  // namespace
}  // namespace heddle::translator
