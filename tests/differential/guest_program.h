// A generated guest program: items that can be removed one by one and laid out again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trace_format/registers.h"

namespace heddle::differential {

// Where a program and its memory lie. The same offsets in each of the three parts of an address
// space: static executables, position-independent ones, libraries.
struct Placement {
  uint64_t code;
  uint64_t data() const { return code + 0x10000; }        // kDataSize, readable and writable
  uint64_t read_only() const { return data() + 0x4000; }  // kPage
  uint64_t stack() const { return code + 0x20000; }       // kStackSize, a guard page on each side
};
inline constexpr uint64_t kPage = 0x1000;
inline constexpr uint64_t kCodeSize = 0x4000;
inline constexpr uint64_t kDataSize = 0x4000;
inline constexpr uint64_t kStackSize = 0x4000;
inline constexpr Placement kPlacements[] = {{0x40'0000}, {0x5555'5555'0000}, {0x7fff'f7a0'0000}};

struct Item {
  enum class Kind : uint8_t {
    plain,        // bytes as they are
    data,         // ... their rip-relative displacement leads to `data`
    conditional,  // jcc: bytes[0] is the condition
    jump,         // jmp rel
    call,         // call rel32
    counted,  // loop, jrcxz: bytes are prefix and opcode; rel8 only, dropped if out of its reach
    address,  // bytes are lea r64,[rip+...] but for the displacement
  };
  Kind kind = Kind::plain;
  std::vector<uint8_t> bytes{};
  int target = -1;        // item that a transfer or an address leads to
  bool near_form = true;  // conditional and jump: a 32-bit displacement even if 8 bits do
  uint64_t data = 0;      // Kind::data
  uint8_t displacement_at = 0;
};

struct GuestProgram {
  uint64_t seed = 0;
  Placement placement = kPlacements[0];
  std::vector<Item> items;
  Registers registers;            // rip is the first item's address
  std::vector<uint8_t> extended;  // 576 + 256 bytes: XSAVE standard format, x87 SSE AVX
  uint64_t memory_seed = 0;       // what data and stack are filled from

  // The code, with the address of each item. Ends with an int3.
  struct Code {
    std::vector<uint8_t> bytes{};
    std::vector<uint64_t> addresses;
  };
  Code layout() const;
  // The same without items [first, first + count): what led to one of them leads behind them.
  GuestProgram without(size_t first, size_t count) const;
  // Disassembly, one line per item, and the initial registers.
  std::string text() const;
};

}  // namespace heddle::differential
