// The general registers of a guest task, as values.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace heddle {

// Index of a register in Registers::values. The first sixteen are in the hardware's encoding order
// (Intel SDM vol. 2, table 2-2), so an operand's number is an index.
enum class Register : uint8_t {
  rax,
  rcx,
  rdx,
  rbx,
  rsp,
  rbp,
  rsi,
  rdi,
  r8,
  r9,
  r10,
  r11,
  r12,
  r13,
  r14,
  r15,
  rip,
  rflags,
  fs_base,
};
inline constexpr size_t kRegisterCount = 19;

inline constexpr std::array<std::string_view, kRegisterCount> kRegisterNames = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",    "r8",     "r9",
    "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags", "fs_base"};

// What a task's registers hold, as the guest sees them: rip is a guest address, never one of the
// code cache; rflags is canonical (see machine/translator/flags.h).
struct Registers {
  std::array<uint64_t, kRegisterCount> values{};

  uint64_t& operator[](Register r) { return values[static_cast<size_t>(r)]; }
  uint64_t operator[](Register r) const { return values[static_cast<size_t>(r)]; }
  bool operator==(const Registers&) const = default;
};

}  // namespace heddle
