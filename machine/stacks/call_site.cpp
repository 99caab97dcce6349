#include "machine/stacks/call_site.h"

namespace heddle {

bool is_return_address(const Symbols& symbols, const GuestMemory& memory, uint64_t address) {
  if (!symbols.code_module(address - 1)) return false;
  uint8_t code[7] = {};
  if (memory.read(address - sizeof code, code) != sizeof code) return false;
  // FF /2 with a register, [reg], [reg+disp8], [rip+disp32] or [reg+disp32], or one of those with a
  // SIB byte (Intel SDM, CALL).
  const auto indirect = [&](size_t at, uint8_t mode) {
    return code[at] == 0xff && (code[at + 1] & 0xf8) == (mode << 6 | 2 << 3);
  };
  const bool relative = code[2] == 0xe8;
  return relative || indirect(5, 3) || indirect(5, 0) || indirect(4, 1) || indirect(1, 2) ||
         indirect(1, 0) || indirect(4, 0) || indirect(3, 1) || indirect(0, 2);
}

}  // namespace heddle
