// What the instruction that a task is about to execute would access.
#pragma once

#include <vector>

#include "machine/access.h"
#include "machine/translator/translator.h"

namespace heddle::translator {

struct MemoryOperand {
  uint64_t address = 0;
  uint32_t size = 0;  // bytes; rep movs and stos: of the whole operation
  AccessKind kind = AccessKind::read;
};

// The explicit memory operands of the instruction at registers.rip, as analysis mode logs them.
std::vector<MemoryOperand> memory_operands(const CodeSource& source, const Registers& registers);

// Bytes of the instruction at `pc`; 0 where there is none.
unsigned instruction_length(const CodeSource& source, uint64_t pc);

}  // namespace heddle::translator
