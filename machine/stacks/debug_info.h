// Symbols and DWARF of one module, by libdw. Separate debug files are found by build-id.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machine/stacks/elf_image.h"
#include "machine/stacks/site.h"

namespace heddle {

// Nothing is read before it is asked for: symbols by function() and address_of(), lines by sites().
// Addresses are the guest's.
class DebugInfo {
 public:
  explicit DebugInfo(const ElfImage& image);
  ~DebugInfo();
  DebugInfo(const DebugInfo&) = delete;
  DebugInfo& operator=(const DebugInfo&) = delete;

  // The symbol that `pc` is in, as the linker names it; empty where there is none.
  std::string symbol(uint64_t pc) const;
  // The data symbol that `address` is in, "name" or "name+offset"; empty where there is none.
  std::string variable(uint64_t address) const;
  std::optional<uint64_t> address_of(const std::string& name) const;

  // The source positions of the instruction at `pc`, innermost inlined function first; the last is
  // the function that the code belongs to. Never empty.
  std::vector<Site> sites(uint64_t pc) const;

  // The file of the first of sites(pc), for less: empty where lines are not known.
  std::string file(uint64_t pc) const;

  // Offset in bytes of a member of a structure type; nothing where DWARF does not say.
  std::optional<uint64_t> member_offset(const std::string& structure,
                                        const std::string& member) const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

// A symbol as the source has it: without what a compiler appended, and of C++ demangled.
std::string demangled(const std::string& symbol);

}  // namespace heddle
