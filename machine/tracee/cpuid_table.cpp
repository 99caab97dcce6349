#include "machine/tracee/cpuid_table.h"

#include <iterator>
#include <stdexcept>

#include "machine/runtime/task_state.h"
#include "machine/tracee/layout.h"

namespace heddle {

void place_cpuid_answers(ProcessMemory& memory, std::span<const event::CpuidEntry> answers) {
  heddle_cpuid_table table{};
  if (answers.size() > std::size(table.answers))
    throw std::runtime_error("the trace has more answers to cpuid than a program can be shown");
  for (const auto& a : answers)
    table.answers[table.count++] = {a.leaf, a.subleaf, a.any_subleaf, 0,
                                    a.eax,  a.ebx,     a.ecx,         a.edx};
  if (!memory.store(layout::kCpuidTable.start, table))
    throw std::runtime_error("placing the answers to cpuid");
}

}  // namespace heddle
