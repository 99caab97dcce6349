// The modes: access log, access points, splitting, stops and hooks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machine/translator/operand.h"
#include "tests/unit/translator/code_bytes.h"

namespace heddle::translator {
namespace {

using ::testing::ElementsAre;

TEST(Instrument, AStopLeavesBeforeItsInstruction) {
  Options options;
  options.stop = Stop{kGuest + 1, 0};
  const auto t = translated({0x90, 0x50, 0xcc}, options);
  ASSERT_THAT(exit_kinds(t), ElementsAre(ExitKind::stop, ExitKind::trap));
  EXPECT_EQ(t.exits[0].pc, kGuest + 1);
  EXPECT_EQ(t.code[t.exits[0].offset + 1], 0x50) << "going on executes the instruction";
}

TEST(Instrument, AHookLeavesBeforeItsInstruction) {
  const std::set<uint64_t> hooks{kGuest + 1};
  Options options;
  options.hooks = &hooks;
  const auto t = translated({0x90, 0x50, 0xcc}, options);
  EXPECT_THAT(exit_kinds(t), ElementsAre(ExitKind::hook, ExitKind::trap));
}

TEST(Instrument, AnUnlockedUpdateIsSplit) {
  const std::vector<uint8_t> splittable[] = {
      {0x83, 0x07, 0x01},                    // add dword [rdi],1
      {0x48, 0xff, 0x07},                    // inc qword [rdi]
      {0x80, 0x0f, 0x01},                    // or byte [rdi],1
      {0x66, 0x31, 0x07},                    // xor [rdi],ax
      {0xf7, 0x1c, 0x24},                    // neg dword [rsp]
      {0x01, 0x05, 0x00, 0x10, 0x00, 0x00},  // add [rip+0x1000],eax
      {0x00, 0x27},                          // add [rdi],ah
      {0xd3, 0x27},                          // shl dword [rdi],cl
      {0x0f, 0xc1, 0x07},                    // xadd [rdi],eax
      {0x0f, 0xb1, 0x0f},                    // cmpxchg [rdi],ecx
      {0x64, 0x01, 0x04, 0x25, 0, 1, 0, 0},  // add fs:[0x100],eax
      {0x0f, 0xba, 0x2f, 0x03},              // bts dword [rdi],3
  };
  const std::set<uint64_t> points{kGuest};
  Options options;
  options.points = &points;
  for (auto code : splittable) {
    code.push_back(0xcc);
    const auto t = translated(code, options);
    ASSERT_EQ(t.splits.size(), 1u) << int{code[0]} << " " << int{code[1]};
    EXPECT_EQ(t.splits[0].pc, kGuest);
    ASSERT_THAT(exit_kinds(t), ElementsAre(ExitKind::point, ExitKind::point, ExitKind::trap));
    EXPECT_EQ(t.exits[0].phase, 0);
    EXPECT_EQ(t.exits[1].phase, 1);
    EXPECT_EQ(t.splits[0].offset, t.exits[1].offset + 1);
  }
}

TEST(Instrument, WhatOtherCoresCannotTearIsNotSplit) {
  const std::vector<uint8_t> whole[] = {
      {0xf0, 0x83, 0x07, 0x01},  // lock add dword [rdi],1
      {0x87, 0x07},              // xchg [rdi],eax
      {0x89, 0x07},              // mov [rdi],eax
      {0x8b, 0x07},              // mov eax,[rdi]
      {0x03, 0x07},              // add eax,[rdi]
      {0xa4},                    // movsb
      {0x0f, 0xab, 0x07},        // bts [rdi],eax: the bit may lie in another word
      {0x0f, 0xc7, 0x0f},        // cmpxchg8b [rdi]
      {0x0f, 0xc0, 0x20},        // xadd [rax],ah: writes a register of its address
      {0x0f, 0xb1, 0x08},        // cmpxchg [rax],ecx: likewise
      {0x39, 0x07},              // cmp [rdi],eax
      {0x8f, 0x07},              // pop [rdi]
  };
  const std::set<uint64_t> points{kGuest};
  Options options;
  options.points = &points;
  for (auto code : whole) {
    code.push_back(0xcc);
    const auto t = translated(code, options);
    EXPECT_TRUE(t.splits.empty()) << int{code[0]} << " " << int{code[1]};
    EXPECT_THAT(exit_kinds(t), ElementsAre(ExitKind::point, ExitKind::trap));
  }
}

TEST(Instrument, TheLogCannotOverflowUnseen) {
  Options options;
  options.log_accesses = true;
  const auto t = translated({0x8b, 0x07, 0xcc}, options);
  size_t log_stores = 0;
  for (const auto& origin : t.origins) {
    if (!origin.access_log) continue;
    ++log_stores;
    EXPECT_EQ(origin.pc, kGuest);
  }
  EXPECT_EQ(log_stores, 1u);
}

TEST(Instrument, InstructionsWithoutAccessesAreNotLogged) {
  Options options;
  options.log_accesses = true;
  const std::vector<uint8_t> silent[] = {
      {0x48, 0x8d, 0x07},        // lea rax,[rdi]
      {0x0f, 0x1f, 0x00},        // nop [rax]
      {0x0f, 0x18, 0x0f},        // prefetch
      {0x01, 0xc8},              // add eax,ecx
      {0xf3, 0x0f, 0x1e, 0xfa},  // endbr64
  };
  for (auto code : silent) {
    const auto length = code.size();
    code.push_back(0xcc);
    const auto t = translated(code, options);
    EXPECT_EQ(t.exits.at(0).offset, length) << int{code[0]};
  }
}

MemoryOperand only_operand(std::vector<uint8_t> code, const Registers& registers) {
  const auto found = memory_operands(CodeBytes(kGuest, std::move(code)), registers);
  if (found.size() != 1) {
    ADD_FAILURE() << found.size() << " operands";
    return {};
  }
  return found[0];
}

TEST(Operand, AddressesAreThoseOfTheHardware) {
  Registers r;
  r[Register::rip] = kGuest;
  r[Register::rax] = 0xffff'ffff'0000'0005;
  r[Register::rbx] = 0x1000;
  r[Register::rcx] = 3;
  r[Register::rdi] = 0x5000;
  r[Register::rsp] = 0x9000;
  r[Register::fs_base] = 0x7000'0000'0000;
  const struct {
    std::vector<uint8_t> bytes;
    uint64_t address;
    uint32_t size;
    AccessKind kind;
  } cases[] = {
      {{0x8b, 0x47, 0xf8}, 0x4ff8, 4, AccessKind::read},                  // mov eax,[rdi-8]
      {{0x48, 0x89, 0x04, 0xcf}, 0x5018, 8, AccessKind::write},           // mov [rdi+rcx*8],rax
      {{0x83, 0x07, 0x01}, 0x5000, 4, AccessKind::update},                // add dword [rdi],1
      {{0xf0, 0x83, 0x07, 0x01}, 0x5000, 4, AccessKind::locked},          // lock add dword [rdi],1
      {{0x87, 0x07}, 0x5000, 4, AccessKind::locked},                      // xchg [rdi],eax
      {{0x8b, 0x05, 0x10, 0, 0, 0}, kGuest + 0x16, 4, AccessKind::read},  // mov eax,[rip+0x10]
      {{0x67, 0x8b, 0x00}, 0x5, 4, AccessKind::read},                     // mov eax,[eax]
      {{0x64, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0}, 0x7000'0000'0010, 4, AccessKind::read},
      {{0xd7}, 0x1005, 1, AccessKind::read},         // xlat: [rbx+al]
      {{0xf3, 0xaa}, 0x5000, 3, AccessKind::write},  // rep stosb
      {{0x8f, 0x44, 0x24, 0x08},
       0x9010,
       8,
       AccessKind::write},                                  // pop [rsp+8]: rsp is after the pop
      {{0x0f, 0xab, 0x1f}, 0x5200, 4, AccessKind::update},  // bts [rdi],ebx: bit 0x1000
      {{0x48, 0x0f, 0xc7, 0x0f}, 0x5000, 16, AccessKind::update},  // cmpxchg16b
  };
  for (const auto& c : cases) {
    const auto operand = only_operand(c.bytes, r);
    EXPECT_EQ(operand.address, c.address)
        << int{c.bytes[0]} << " " << int{c.bytes[1 % c.bytes.size()]};
    EXPECT_EQ(operand.size, c.size) << int{c.bytes[0]};
    EXPECT_EQ(operand.kind, c.kind) << int{c.bytes[0]};
  }
}

}  // namespace
}  // namespace heddle::translator
